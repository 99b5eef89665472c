"""One fit of one network: built and checked before it begins, run by Lightning's Trainer, concluded."""

import contextlib
import logging
import math
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor

from dip_lab.callbacks.checkpoint import Checkpoint
from dip_lab.callbacks.guard import Guard
from dip_lab.callbacks.interrupt import Interrupt
from dip_lab.callbacks.stopping import Stopping
from dip_lab.checks import one_line
from dip_lab.machine import peak_memory_mb
from dip_lab.module import DeepImagePrior, Iterations
from dip_lab.nets.weights import save_weights
from dip_lab.precision import autocast_dtype
from dip_lab.results.conclude import about, finite, problem_scores, scored, versions
from dip_lab.results.history import History
from dip_lab.results.restoration import Restoration
from dip_lab.results.summary import Summary
from dip_lab.results.verdicts import verdicts
from dip_lab.runs.identity import Cell

log = logging.getLogger(__name__)


@dataclass
class Fit:
    """One network that is ready to be fitted to one problem.

    Attributes:
        iterations: the largest number of them, including those of an earlier launch.
        start: the iteration of the checkpoint that is continued; 0: from the beginning.
        callbacks: all of Lightning's, in the order in which they look at a step.
        trainer: makes Lightning's Trainer.
    """

    cell: Cell
    module: DeepImagePrior
    iterations: int
    start: int
    stopping: Stopping
    guard: Guard
    checkpoint: Checkpoint
    interrupt: Interrupt
    history: History
    callbacks: Sequence[pl.Callback]
    trainer: Callable[..., pl.Trainer]

    def run(self, loggers: Sequence[Logger]) -> Restoration:
        """Fit the network and write everything but the restoration's own files."""
        with quiet():
            trainer = self.trainer(
                logger=list(loggers), max_steps=max(0, self.iterations - self.start), max_epochs=-1,
                log_every_n_steps=1, enable_progress_bar=False, enable_model_summary=False,
                enable_checkpointing=False, callbacks=list(self.callbacks),
            )
            with self.interrupt:
                trainer.fit(self.module, Iterations(self.start + 1))
        folder, checkpoint = self.cell.folder, self.checkpoint
        if folder and checkpoint.iteration > self.start and not (self.guard.broken_at_end or self.guard.reason):
            try:  # before the answer's weights, if it has its own, replace the fit's
                checkpoint.save(trainer, self.module)
            except OSError as error:  # the answer may still find room
                log.warning("%s: it cannot be continued from here", one_line(error))
        restoration = conclude(self, trainer.strategy.root_device, self.interrupt.name)
        if folder:
            save_weights(self.module.generator.net, folder)
        return restoration


@torch.no_grad()
def conclude(fit: Fit, device: torch.device, interrupted: str | None) -> Restoration:
    """Take the rule's answer and score it. The peak is only reported, it does not choose anything."""
    module, stopping, guard, history = fit.module, fit.stopping, fit.guard, fit.history
    seconds, iterations = fit.checkpoint.fitted_seconds, fit.checkpoint.iteration
    module.cpu()  # as Lightning does after a fit on a GPU
    problem, rule = module.problem, stopping.rule
    image, chosen = stopping.answer(module)
    image, unsound = finite(image.cpu())
    deviation = getattr(module.average, "deviation", None)  # of a sampler
    deviation = None if deviation is None else deviation.cpu()
    scores = scored(problem, image, deviation)
    curve = "psnr" if module.average.image is None else "psnr_average"
    obeyed = fit.cell.options["stopping"]
    rules = {obeyed: rule, **stopping.shadow}
    psnrs = {name: problem_scores(problem, watcher.kept).get("psnr") for name, watcher in rules.items()}
    psnrs[obeyed] = scores["scores"].get("psnr")
    peaks = [history.peak(curve), (psnrs[obeyed], chosen or iterations)]
    peaks += [(psnrs[name], watcher.chosen_iteration) for name, watcher in stopping.shadow.items()]
    known = [p for p in peaks if p and p[0] is not None and math.isfinite(p[0])]
    peak = max(known, key=lambda p: p[0], default=(None, None))
    failure = guard.failure or unsound
    stop_reason = failure or guard.reason or stopping.reason or "iterations used up"
    if interrupted:
        stop_reason = f"interrupted by {interrupted}"
    pictures = {**problem.pictures(), "latent": _latent_picture(module.generator.latent.z)}
    if deviation is not None:
        pictures["uncertainty"] = deviation
    summary = Summary(
        **about(problem, fit.cell),
        status="interrupted" if interrupted else "failed" if failure else "done",
        error=None if interrupted else failure,
        iterations=iterations,
        chosen_iteration=chosen or iterations,
        stop_reason=stop_reason,
        oracle=rule.uses_target,
        **scores,
        output=problem_scores(problem, rule.kept_output if chosen else None),
        average=problem_scores(problem, rule.kept_average if chosen else None),
        psnr_held_out=rule.psnr_held_out,
        psnr_last=history.rows[-1][curve] if history.rows else None,
        psnr_peak=peak[0],
        peak_iteration=peak[1],
        guard_events=guard.events,
        seconds=round(seconds, 3),
        seconds_per_iteration=round(seconds / max(iterations, 1), 5),
        peak_memory_mb=round(peak_memory_mb(device), 1),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type,
        precision="float32" if autocast_dtype(module.generator.precision, device.type) is None else "bf16",
        parameters=sum(parameter.numel() for parameter in module.generator.net.parameters()),
        restorer=getattr(module.generator.net, "learned_start", None),
        versions=versions(),
    )
    rows = verdicts(rules, psnrs, fit.iterations, peak[0]) if chosen else []
    return Restoration(image, summary, history, pictures, rows)


def _latent_picture(z: Tensor) -> Tensor:
    """The first channel of a latent, stretched to [0, 1]."""
    z = z[:, :1].float().cpu()
    return (z - z.min()) / (z.max() - z.min()).clamp_min(1e-12)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence, by name, what Lightning says to people who train on data sets."""
    chatter = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in (".*does not have many workers.*", ".*isinstance\\(treespec, LeafSpec\\).*",
                        ".*GPU available but not used.*", ".*`max_epochs` was not set.*",
                        "The `srun` command is available.*",
                        "Found .* in eval mode.*",  # a custom operator is
                        "Checkpoint directory .* exists and is not empty.*",  # of a training that goes on
                        "Experiment logs directory .* exists and is not empty.*"):
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            chatter.setLevel(level)
