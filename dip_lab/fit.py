"""One fit of one network: built and checked before it begins, run by Lightning's Trainer, concluded."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from dip_lab.callbacks.checkpoint import Checkpoint
from dip_lab.callbacks.guard import Guard
from dip_lab.callbacks.interrupt import Interrupt
from dip_lab.callbacks.stopping import Stopping
from dip_lab.module import DeepImagePrior, Iterations
from dip_lab.nets.weights import save_weights
from dip_lab.results.conclude import conclude
from dip_lab.results.history import History
from dip_lab.results.restoration import Restoration
from dip_lab.runs.identity import Cell


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
        if folder and self.interrupt.signal and checkpoint.iteration and not self.guard.broken_at_end:
            checkpoint.save(trainer, self.module)  # before the answer's weights, if it has its own, replace the fit's
        restoration = conclude(self, trainer.strategy.root_device, self.interrupt.name)
        if folder:
            save_weights(self.module.generator.net, folder)
        return restoration


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
                        "Found .* in eval mode.*"):  # a custom operator is
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            chatter.setLevel(level)
