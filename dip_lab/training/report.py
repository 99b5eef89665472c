"""What a training shows while it runs: a line or a bar, history.csv, the curves, the first held-out picture."""

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from dip_lab.plain import printable
from dip_lab.results.figures import panel_figure
from dip_lab.results.history import History
from dip_lab.results.png import figure_png
from dip_lab.runs.files import from_here, write_atomic
from dip_lab.scores import duration
from dip_lab.training.batches import HeldOut
from dip_lab.training.checkpoint import BEST
from dip_lab.training.module import Training

log = logging.getLogger(__name__)
COLUMNS = ["iteration", "seconds", "loss", "lr"]
REFRESH = 1.0  # seconds between two looks of the bar; a line is written at each epoch


class Report(pl.Callback):
    """At the end of each epoch: a row of `history.csv`, `curves.png` and `held_out.png`, and how long it still takes.

    Args:
        folder: of the run.
        held_out: the pictures that are not trained on.
        what: such as "denoise with dncnn on bsd400".
    """

    def __init__(self, folder: Path, held_out: HeldOut, what: str):
        self.folder, self.held_out, self.what = folder, held_out, what
        self._bar: Bar | None = None
        self._shown = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:
        self.history = History([*COLUMNS, *module.objective.columns], self.folder / "history.csv")
        self.history.resume(module.step)
        self._start, self._begun = module.progress, time.monotonic()
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Bar(TextColumn("{task.description}", markup=False), BarColumn(), console=console,
                            auto_refresh=False)
            self._task = self._bar.add_task(printable(self.what), total=1.0)
            self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *rest: object) -> None:
        now = time.monotonic()
        if self._bar and now - self._shown > REFRESH:
            self._shown = now
            reached = f"  {module.objective.shown(module.scores)}" if module.scores else ""
            text = f"{self.what}  step {module.step}{reached}  {self.left(module)}"
            self._bar.update(self._task, completed=module.progress, description=printable(text))
            self._bar.refresh()

    def on_validation_end(self, trainer: pl.Trainer, module: Training) -> None:
        if trainer.sanity_checking:
            return
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        self.history.append({"iteration": module.step, "seconds": round(module.seconds, 1), "loss": module.loss,
                             "lr": lr, **module.scores})
        if not self._bar:
            log.info("step %d of %d  loss %.3g  %s  %s", module.step, module.iterations, module.loss,
                     module.objective.shown(module.scores), self.left(module))
        write_atomic(self.folder / "curves.png", figure_png(curves(self.history, self.what, module.objective.monitor)))
        self.show(module)

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:
        self.stop()

    def on_exception(self, trainer: pl.Trainer, module: Training, exception: BaseException) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the terminal as it was."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def left(self, module: Training) -> str:
        """How long the rest takes, at the pace of this launch."""
        done = module.progress - self._start
        return f"{duration((time.monotonic() - self._begun) * (1 - module.progress) / done)} left" if done > 0 else ""

    @torch.no_grad()
    def show(self, module: Training) -> None:
        """`held_out.png`: a held-out picture, and what the network makes of it."""
        inputs, problem = module.objective.example(self.held_out)
        was = module.training
        module.eval()
        panel = module.objective.panel(module.restorer, (inputs.to(module.device), problem.cpu()))
        module.train(was)
        write_atomic(self.folder / "held_out.png", figure_png(panel_figure(panel)))


def curves(history: History, title: str, score: str) -> Figure:
    """Loss (left, logarithmic where it is positive) and a score of the held-out pictures (right) against the step."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    steps = history.column("iteration")
    axis.plot(steps, history.column("loss"), color="0.45", lw=1, label="loss")
    if all(value > 0 for value in history.column("loss")):  # against a discriminator it may be negative
        axis.set_yscale("log")
    axis.set(xlabel="step", ylabel="loss", title=title)
    right = axis.twinx()
    right.plot(steps, history.column(score), color="tab:blue", lw=1.2, label=f"{score} of the held-out pictures")
    right.set_ylabel(score)
    lines = [*axis.get_lines(), *right.get_lines()]
    figure.legend(handles=lines, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


def said(folder: Path, score: float | None, objective: Any, net: str) -> str:
    """The last lines of a training: what it reached, and how to use it."""
    here = printable(str(from_here(folder)))
    reached = "" if score is None else f"held out  {score:.2f} ({objective.monitor})\n"
    return (f"{reached}weights   {here}/{BEST}\ncurves    {here}/curves.png\n"
            f"use it    python run.py {objective.usage.format(here, net=net)} data=file data.path=photo.jpg")
