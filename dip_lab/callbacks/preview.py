"""Every few seconds: the restoration so far, for a person who watches the fit."""

import contextlib
import logging
import math
import time
from pathlib import Path

import pytorch_lightning as pl

from dip_lab.checks import number, one_line
from dip_lab.frames import poster, visible
from dip_lab.png import encode_png
from dip_lab.runs.files import write_atomic
from dip_lab.runs.folder import PREVIEW

log = logging.getLogger(__name__)
SHARE = 0.02  # of the time of a fit, at most: a large picture is written less often


class Preview(pl.Callback):
    """Renews `restoration.png` in the run's folder: the running average or, where there is none, the output.

    Image viewers and browsers that watch a file show the picture grow sharp. At the end it holds the answer.

    Args:
        seconds: shortest time between two pictures.
    """

    def __init__(self, seconds: float):
        self.seconds = number("callbacks.preview.seconds", seconds, 0, math.inf)
        self.folder: Path | None = None  # set by the experiment; None: nothing is written
        self._due = 0.0

    @property
    def path(self) -> Path | None:
        return self.folder and self.folder / PREVIEW

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        started = time.monotonic()
        if self.path is None or started < self._due:
            return
        try:
            self._write(module)
        except OSError as error:  # the checkpoints say so too, if it matters
            log.warning("%s", one_line(error))
        ended = time.monotonic()
        self._due = ended + max(self.seconds, (ended - started) / SHARE)

    def on_exception(self, trainer, module, exception) -> None:
        """A fit that breaks off, for example because a custom operator raises, leaves what it has reached."""
        if self.path is not None and getattr(module, "output", None) is not None:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self._write(module)

    def _write(self, module) -> None:
        image = module.output if module.average.image is None else module.average.image
        write_atomic(self.path, encode_png(visible(module.problem.shown(poster(image.detach())))))
