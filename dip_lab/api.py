"""The whole program as one function, for notebooks and scripts."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from dip_lab import runs
from dip_lab.callbacks.live import LiveCurve, in_notebook
from dip_lab.cli import explain
from dip_lab.compose import compose
from dip_lab.experiment import fit
from dip_lab.images import as_picture
from dip_lab.results.restoration import Restoration

__all__ = ["Restoration", "restore"]


def restore(picture: Any, task: str = "denoise", net: str = "skip_narrow", overrides: Sequence[str] = (),
            folder: str | Path | None = None) -> Restoration:
    """Restore one picture; in a notebook, draw the curve while it fits.

    Args:
        picture: NumPy array `(H, W)` or `(H, W, C)` (uint8, uint16, or floats in [0, 1]), PIL image, torch tensor
            `(C, H, W)` in [0, 1], or a path; None: what `data=...` among the overrides says, such as a clip or the
            sources of a fusion. It is degraded as the task says, and then is the target; with
            `task.given=true` (or `task/noise=none` for denoise) it is the observation itself.
        task: an option of `configs/task`.
        net: an option of `configs/net`.
        overrides: Hydra overrides, such as `["iterations=500", "task.sigma=50", "stopping=fixed"]`.
        folder: where to write the files of a run, and to continue an unfinished one; nothing is written without it.

    Raises:
        ValueError: the picture, an override or a value cannot work.

    >>> import numpy as np
    >>> restore(np.full((8, 8), 0.5), overrides=["iterations=2", "net.width=4"]).image.shape
    torch.Size([1, 1, 8, 8])
    """
    arguments = [f"task={task}", f"net={net}", "logger=none", *overrides]
    try:
        cfg = compose(arguments)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(explain(error, arguments)) from None
    if folder is None and cfg.logger:
        raise ValueError(f"logger={cfg.hydra.runtime.choices.logger}: a tracker writes files, give restore a folder")
    picture, live = None if picture is None else as_picture(picture), [LiveCurve()] if in_notebook() else []
    with _hydra_config(cfg, folder) as choices:
        if picture is not None:
            choices["data"] = "picture"
        if folder is None:
            return fit(cfg, choices, None, picture, live)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with runs.claim(folder):
            return fit(cfg, choices, folder, picture, live)


@contextlib.contextmanager
def _hydra_config(cfg: DictConfig, folder: str | Path | None) -> Iterator[dict[str, str]]:
    """Give the `${hydra:...}` of a config what the command line gives them, and take them out of the config.

    Yields the chosen option of each group.
    """
    instance = HydraConfig.instance()
    before = instance.cfg
    if folder is not None:
        cfg.hydra.runtime.output_dir = str(folder)
    instance.set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    try:
        yield dict(instance.cfg.hydra.runtime.choices)
    finally:
        instance.cfg = before
