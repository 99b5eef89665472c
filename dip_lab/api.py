"""The whole program as one function, for notebooks and scripts."""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from dip_lab.callbacks.live import LiveCurve, in_notebook
from dip_lab.compose import cell_at, compose
from dip_lab.data.images import Images, as_images
from dip_lab.experiment import begin, run
from dip_lab.mistakes import explained
from dip_lab.results.restoration import Restoration
from dip_lab.runs.claims import claim
from dip_lab.runs.identity import Cell
from dip_lab.runs.ours import protect, refuse_another_experiment

__all__ = ["Restoration", "restore"]
_one_at_a_time = threading.RLock()


def restore(picture: Any, task: str = "denoise", net: str = "skip_fast", overrides: Sequence[str] = (),
            folder: str | Path | None = None) -> Restoration:
    """Restore one picture; in a notebook, draw the curve while it fits.

    Args:
        picture: NumPy array `(H, W)` or `(H, W, C)` (uint8, uint16, or floats in [0, 1]), PIL image, torch tensor
            `(C, H, W)` in [0, 1], or a path; None: what `data=...` among the overrides names, such as a clip or the
            sources of a fusion. To denoise, it is restored as it is; with `task.sigma=25` noise is added first. Other
            tasks degrade it, and it is then the target; with `task.given=true` it is the observation itself.
        task: an option of `configs/task`.
        net: an option of `configs/net`.
        overrides: Hydra overrides, such as `["iterations=500", "task.sigma=50", "stopping=fixed"]`; `data` and its keys
            only without a picture.
        folder: where the files of a run are written, and an unfinished run is continued; None: nothing is written.

    Raises:
        ValueError: the picture, an override or a value cannot work, or the folder holds something else.

    Calls in several threads run one after the other: torch's generator, which draws the first weights, is shared.

    >>> import numpy as np
    >>> restore(np.full((8, 8), 0.5), overrides=["iterations=2", "net.width=4"]).image.shape
    torch.Size([1, 1, 8, 8])
    """
    _check_overrides(overrides, picture)
    with _one_at_a_time:
        return _restore(picture, task, net, overrides, folder)


def _restore(picture: Any, task: str, net: str, overrides: Sequence[str], folder: str | Path | None) -> Restoration:
    arguments = [f"task={task}", f"net={net}", "logger=none", *overrides]
    with explained(arguments):
        cfg = compose(arguments)
    if folder is None and cfg.logger:
        raise ValueError(f"logger={cfg.hydra.runtime.choices.logger}: a tracker writes files, give restore a folder")
    images, live = None if picture is None else as_images(picture), [LiveCurve()] if in_notebook() else []
    folder = None if folder is None else Path(folder).expanduser()
    if folder is None:
        with _hydra_config(cfg, None, {} if images is None else {"data": "picture"}) as cell:
            return run(cfg, cell, images, live)
    return fit_in(cfg, folder, images, [picture] if isinstance(picture, str | Path) else [], live)


def fit_in(cfg: DictConfig, folder: Path, images: Images | None = None, inputs: Sequence[str | Path] = (),
           callbacks: Sequence[pl.Callback] = ()) -> Restoration:
    """Compute a composed config in a folder, or go on with what was begun there.

    Args:
        cfg: with its node `hydra`, which is removed.
        folder: the cell's.
        images: used instead of those of `cfg.data`.
        inputs: files that are read beside those that the config names.
        callbacks: more Lightning callbacks.

    Raises:
        ValueError: the picture or a value cannot work, or the folder holds something else.
    """
    with _hydra_config(cfg, folder, {} if images is None else {"data": "picture"}) as cell:
        folder.mkdir(parents=True, exist_ok=True)
        with claim(folder):
            if not cfg.rerun:
                refuse_another_experiment(folder, cell.hash)
            protect(cell, cfg.rerun, inputs)
            begin(cfg, cell, images)
            return run(cfg, cell, images, callbacks)


def _check_overrides(overrides: Any, picture: Any) -> None:
    if isinstance(overrides, Mapping):
        listed = [f"{key}={value}" for key, value in overrides.items()]
        raise ValueError(f"overrides={overrides}: give a list of texts: overrides={listed}")
    if isinstance(overrides, str):
        raise ValueError(f"overrides={overrides}: give a list of texts: overrides={overrides.split()}")
    for override in overrides:
        if not isinstance(override, str):
            raise ValueError(f"overrides: {override!r} is not a text such as 'task.sigma=25'")
        if picture is not None and re.match(r"[+~]*data[.=@]", override):
            raise ValueError(f"{override}: the picture is given to restore itself: change it before, or give None and "
                             "overrides=['data=file', 'data.path=photo.jpg', ...]")


@contextlib.contextmanager
def _hydra_config(cfg: DictConfig, folder: Path | None, chosen: dict[str, str]) -> Iterator[Cell]:
    """Let the `${hydra:...}` of a config mean what they mean on the command line; remove its node `hydra`.

    Yields the cell; `chosen` replaces the options of some groups.
    """
    instance = HydraConfig.instance()
    before = instance.cfg
    if folder is not None:
        cfg.hydra.runtime.output_dir = str(folder)
    instance.set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    try:
        yield cell_at(cfg, instance.cfg.hydra, folder, **chosen)
    finally:
        instance.cfg = before
