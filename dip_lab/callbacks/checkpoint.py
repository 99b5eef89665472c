"""Saves the whole fit so that it can be killed at any moment and continued bit for bit."""

import io
import logging
import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from dip_lab.callbacks.guard import Guard
from dip_lab.callbacks.state import live_state, parts_of, restore_state
from dip_lab.callbacks.stopping import Stopping
from dip_lab.checks import number
from dip_lab.runs.files import write_atomic

log = logging.getLogger(__name__)
KEPT = 2  # if the newest cannot be read, the one before it can


class Checkpoint(pl.Callback):
    """Writes `checkpoints/<iteration>.pt` about every `seconds`, whenever the guard has just found the fit sound.

    Lightning's ModelCheckpoint does not serve here: it writes through the temporary folder without fsync, and a resumed
    fit repeats a step (Lightning issues 19367, 19815). Files are read with `weights_only=True`.
    """

    def __init__(self, seconds: float):
        self.seconds = number("callbacks.checkpoint.seconds", seconds, 0, math.inf)
        self.folder: Path | None = None  # set by the experiment, as are the two callbacks below
        self.experiment = ""  # identifies the fit: the checkpoint of another one is not continued
        self.guard: Guard | None = None
        self.stopping: Stopping | None = None
        self.iteration = 0
        self.threads: int | None = None  # those that the fit began with: with others, sums differ in their last digits
        self.elapsed = 0.0  # seconds of fitting before this process took over
        self._state: dict[str, Any] | None = None
        self._started = self._saved = time.monotonic()
        self._stopped: float | None = None

    @property
    def fitted_seconds(self) -> float:
        return self.elapsed + (self._stopped or time.monotonic()) - self._started

    def find(self, folder: Path) -> int:
        """Load the newest readable checkpoint of a folder; return its iteration, or 0 if there is none.

        Raises:
            ValueError: the folder holds the fit of another experiment or another picture.
        """
        self.folder = folder
        for path in reversed(_files(folder)):
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
                experiment, iteration, seconds = state["experiment"], state["iteration"], state["seconds"]
            except Exception as error:  # damaged by a full or failing disk: the reader may raise anything
                reason = " ".join(str(error).split())[:100]
                log.warning("%s cannot be read (%s): trying the one before it", path, reason)
                continue
            if experiment != self.experiment:
                raise ValueError(
                    f"{folder.parent} holds the fit of another experiment or picture: choose another folder"
                )
            self._state, self.iteration, self.elapsed = state, iteration, seconds
            self.threads = state.get("threads")  # files of earlier versions do not say
            return iteration
        return 0

    def on_fit_start(self, trainer, module) -> None:
        self._started = self._saved = time.monotonic()
        if self._state is not None:
            parts = parts_of(trainer, module, self.stopping)
            device = module.device
            state = _to(self._state, device)
            restore_state(parts, state["parts"])
            self.guard.load_state_dict(state["guard"])
            self._state = None
            if self.stopping.reason or self.guard.reason:  # the fit had ended, but its result was not written
                trainer.should_stop = True

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        self.iteration = iteration
        sound = self.guard.snapshot_iteration == iteration
        if self.folder is not None and sound and time.monotonic() - self._saved >= self.seconds:
            self.save(trainer, module)

    def hurry(self) -> None:
        """Save when the guard next finds the fit sound, because the process is about to be killed."""
        self._saved = -math.inf

    def on_train_end(self, trainer, module) -> None:
        self._stopped = time.monotonic()

    def save(self, trainer, module) -> None:
        """Write the current state and remove all checkpoints but the newest two."""
        state = {
            "experiment": self.experiment,
            "iteration": self.iteration,
            "seconds": self.fitted_seconds,
            "threads": torch.get_num_threads(),
            "parts": live_state(parts_of(trainer, module, self.stopping)),
            "guard": self.guard.state_dict(self.iteration),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomic(self.folder / f"{self.iteration:07d}.pt", buffer.getvalue())
        for old in _files(self.folder)[:-KEPT]:
            old.unlink()
        self._saved = time.monotonic()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.pt"))


def _to(tree: Any, device: torch.device) -> Any:
    if isinstance(tree, torch.Tensor):
        return tree.to(device)
    if isinstance(tree, dict):
        return {key: _to(value, device) for key, value in tree.items()}
    return [_to(value, device) for value in tree] if isinstance(tree, list) else tree
