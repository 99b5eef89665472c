"""Every `log_every` iterations: one row of numbers for history.csv and for the tracker."""

import logging
import math
from collections.abc import Callable

import pytorch_lightning as pl
import torch

from dip_lab.callbacks.stopping import Stopping
from dip_lab.results.history import History

log = logging.getLogger(__name__)


class Curves(pl.Callback):
    """Scores the current output and the running average. Metrics are computed only here, never in a step.

    `psnr` is that of the output and `psnr_average` that of the average; `ssim` is that of the average or, without
    averaging, of the output; `statistic` is that of the stopping rule. Without a target the scores are empty.
    """

    def __init__(self, history: History, every: int, stopping: Stopping, seconds: Callable[[], float]):
        self.history = history
        self.every = every
        self.stopping = stopping
        self.seconds = seconds

    @torch.no_grad()
    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        last = trainer.should_stop or trainer.global_step == trainer.max_steps
        if iteration % self.every and iteration != 1 and not last:
            return
        row = {"iteration": iteration, "seconds": round(self.seconds(), 3), "loss": float(module.loss)}
        problem, average = module.problem, module.average.image
        output_scores = problem.scores(module.output)
        average_scores = problem.scores(average) if average is not None else {}
        row["psnr"] = output_scores.get("psnr", math.nan)
        row["psnr_average"] = average_scores.get("psnr", math.nan)
        row["ssim"] = (average_scores or output_scores).get("ssim", math.nan)
        statistic = self.stopping.rule.statistic
        row["statistic"] = math.nan if statistic is None else statistic
        self.history.append(row)
        values = {key: value for key, value in row.items() if math.isfinite(value)}
        for logger in trainer.loggers:
            try:
                logger.log_metrics(values, step=iteration)
            except Exception as error:  # a tracker that fails must not end the fit: history.csv has the row
                log.warning("%s did not take the row of iteration %d: %s", type(logger).__name__, iteration, error)
