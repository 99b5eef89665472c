"""One Weights & Biases run for one fit."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from dip_lab.checks import one_line
from dip_lab.loggers.wandb_run import close_run, log_table, open_run, warn_once


def _unless_broken(log: Callable[..., None]) -> Callable[..., None]:
    """Log nothing more after the first error, such as a full disk or the death of W&B's own process."""

    @functools.wraps(log)
    def attempt(self: "IterationLogger", *args: Any, **kwargs: Any) -> None:
        if self.broken:
            return
        try:
            log(self, *args, **kwargs)
        except Exception as error:
            self.broken = True
            warn_once("Weights & Biases stopped logging (%s): history.csv has the curves", one_line(error))

    return attempt


class IterationLogger(WandbLogger):
    """Lightning's logger with `iteration` as the axis of every curve and picture; its errors never reach the fit.

    Lightning passes a picture's step as W&B's own step, which counts calls; W&B then drops what comes out of order.
    """

    broken = False

    @_unless_broken
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.experiment.log({**metrics, "iteration": step})

    @_unless_broken
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        import wandb

        self.experiment.log({key: [wandb.Image(image, **kwargs) for image in images], "iteration": step})

    def log_table(self, key: str, columns: list[str], data: list[list[Any]]) -> None:
        log_table(self.experiment, key, columns, data)

    @_unless_broken
    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        # What an agent's sweep has set is locked: W&B warns of each attempt to set it, even to the same value.
        known = self.experiment.config
        super().log_hyperparams({k: v for k, v in params.items() if k not in known or known[k] != v}, *args, **kwargs)

    @_unless_broken
    def summarize(self, summary: dict[str, Any]) -> None:
        """Put the numbers and texts of result.json into the run's summary."""
        self.experiment.summary.update({k: v for k, v in summary.items() if isinstance(v, int | float | str)})

    def finish(self, exit_code: int) -> None:
        """Close the run: Lightning never does, and the next fit of the process would log into it."""
        close_run(self.experiment, exit_code)


def start(project: str, mode: str, save_dir: str, group: str, job_type: str, tags: list[str]) -> IterationLogger | None:
    """Open the run of one fit; None, with a warning, if W&B cannot: a tracker never prevents a fit.

    Args:
        mode: offline, online or disabled; the variable WANDB_MODE wins. Online falls back to offline.
        save_dir: the run's folder; W&B keeps its files in `wandb/` there. The folder's name is the run's name, and
            the hash at its end is in the run's id, so a continued cell continues its run.

    Raises:
        ValueError: `mode` is unknown.
    """
    name = Path(save_dir).name
    run = open_run(project, mode, save_dir, group, name, f"{group[:80]}-{name.rsplit('-', 1)[-1]}",
                   job_type=job_type, tags=tags)
    return IterationLogger(experiment=run) if run else None
