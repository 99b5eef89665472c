"""One Weights & Biases run for one fit."""

import logging
import os
import re
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from dip_lab.checks import one_of
from dip_lab.runs import one_line

log = logging.getLogger(__name__)


class IterationLogger(WandbLogger):
    """Lightning's logger with `iteration` as the axis of every curve and picture.

    Lightning passes a picture's step as W&B's own step, which counts calls; W&B then drops what comes out of order.
    """

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.experiment.log({**metrics, "iteration": step})

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        import wandb

        self.experiment.log({key: [wandb.Image(image, **kwargs) for image in images], "iteration": step})

    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        try:
            super().log_hyperparams(params, *args, **kwargs)
        except Exception as error:  # .hydra/config.yaml has them
            log.warning("Weights & Biases did not take the config (%s)", one_line(error))

    def summarize(self, summary: dict[str, Any]) -> None:
        """Put the numbers and words of result.json into the run's summary."""
        self.experiment.summary.update({k: v for k, v in summary.items() if isinstance(v, int | float | str)})

    def finish(self, exit_code: int) -> None:
        """Close the run: Lightning never does, and the next fit of the process would log into it."""
        try:
            self.experiment.finish(exit_code=exit_code)
        except Exception as error:  # the fit's files are written by now
            log.warning("Weights & Biases did not close its run (%s)", one_line(error))


def start(project: str, mode: str, save_dir: str, group: str, job_type: str, tags: list[str]) -> IterationLogger | None:
    """Open the run of one fit; None, with a warning, when W&B cannot: a tracker never prevents a fit.

    Args:
        mode: offline, online or disabled; the variable WANDB_MODE wins. Never asks for a login.
        save_dir: the run's folder; W&B keeps its files in `wandb/` there. Its name is the run's name, and the hash
            at its end makes the run's id, so a continued cell continues its run.

    Raises:
        ValueError: an unknown mode.
    """
    name = Path(save_dir).name
    mode = one_of("logger.mode", os.environ.get("WANDB_MODE") or mode, ("offline", "online", "disabled"))
    try:
        import wandb

        run = wandb.init(
            project=project, dir=save_dir, mode=mode, group=group, job_type=job_type, tags=tags, name=name,
            id=re.sub(r"[^\w-]+", "-", f"{group[:80]}-{name.rsplit('-', 1)[-1]}"), resume="allow", reinit="create_new",
            settings=wandb.Settings(silent=True, init_timeout=30),
        )
        run.define_metric("iteration")
        run.define_metric("*", step_metric="iteration")
    except Exception as error:  # no network, no key, a full disk: W&B raises many kinds
        log.warning("Weights & Biases did not start (%s): history.csv has the curves", one_line(error))
        return None
    return IterationLogger(experiment=run)
