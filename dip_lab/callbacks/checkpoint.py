"""Saves the whole fit so that it can be killed at any moment and continued bit for bit."""

import logging
import math
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from dip_lab.callbacks.guard import Guard
from dip_lab.callbacks.state import expected_states, live_state, parts_of, refuse_other, restore_state
from dip_lab.callbacks.stopping import Stopping
from dip_lab.checks import integer, number, one_line
from dip_lab.module import DeepImagePrior
from dip_lab.runs.proved import prove, write_proved

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

    def find(self, folder: Path, module: DeepImagePrior, iterations: int) -> int:
        """Take the newest sound checkpoint of a folder; return its iteration, or 0 if there is none.

        A file is read only if its digest is right, and taken only if its whole state has the shape of this fit's:
        nothing is loaded into the fit before that. A file without a digest counts as damaged: it may be one whose end
        was lost.

        Args:
            folder: where they are, and where new ones go.
            module: the fit, not begun.
            iterations: the most that it may have.

        Raises:
            ValueError: the folder holds the fit of another experiment or another picture.
        """
        self.folder = folder
        files = _files(folder)
        expected = expected_states(module, self.stopping) if files else None
        for path in reversed(files):
            try:
                state = read_checkpoint(path)
                if state["experiment"] == self.experiment:
                    _refuse_other(state, path, iterations, expected)
            except Exception as error:  # the reader of a malformed file may raise anything
                instead = "the fit begins anew" if path == files[0] else "the one before it is used"
                log.warning("%s: %s: %s", path, one_line(error)[:200], instead)
                continue
            if state["experiment"] != self.experiment:
                raise ValueError(
                    f"{folder.parent} holds the fit of another experiment or picture: choose another folder"
                )
            self._state, self.iteration, self.elapsed = state, state["iteration"], state["seconds"]
            self.threads = state["threads"]
            return self.iteration
        return 0

    def on_fit_start(self, trainer, module) -> None:
        self._started = self._saved = time.monotonic()
        if self._state is not None:
            state = _to(self._state, module.device)
            try:
                restore_state(parts_of(trainer, module, self.stopping), state["parts"])
            except Exception as error:  # a part of the user's own may not take what it has written
                raise ValueError(f"{self.folder / _name(self.iteration)}: {one_line(error)[:200]}: remove it: the one "
                                 "before it is then used") from error
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
        write_proved(self.folder / _name(self.iteration), partial(torch.save, state))
        for old in _files(self.folder)[:-KEPT]:
            old.unlink()
        self._saved = time.monotonic()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint whose digest is right.

    Raises:
        ValueError: it is damaged or has no digest, or it does not say which fit it is of.
    """
    prove(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not isinstance(state.get("experiment"), str):
        raise ValueError("it does not say which fit it is of")
    return state


def _refuse_other(state: Mapping[str, Any], path: Path, iterations: int, expected: tuple[Any, Any]) -> None:
    """Return if it is a checkpoint of a fit with the `expected` states before and after a step.

    Raises:
        ValueError: it is not.
    """
    like = {"experiment": "", "iteration": 0, "seconds": 0.0, "threads": 0, "parts": expected[1]}
    refuse_other({key: value for key, value in state.items() if key != "guard"}, like, "it")
    integer("its iteration", state["iteration"], 1, iterations)
    if int(path.stem) != state["iteration"]:
        raise ValueError(f"its iteration is {state['iteration']}")
    number("its seconds", state["seconds"], 0)
    integer("its threads", state["threads"], 1)
    Guard.refuse_other(state.get("guard"), state["iteration"], expected)


def _name(iteration: int) -> str:
    return f"{iteration:07d}.pt"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.pt"))


def _to(tree: Any, device: torch.device) -> Any:
    if isinstance(tree, torch.Tensor):
        return tree.to(device)
    if isinstance(tree, dict):
        return {key: _to(value, device) for key, value in tree.items()}
    return [_to(value, device) for value in tree] if isinstance(tree, list) else tree
