"""What a fit does and how long it takes; then a bar with speed, loss, PSNR and why it may stop, or plain lines."""

import logging
import math
import time
from pathlib import Path

import pytorch_lightning as pl
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from dip_lab.checks import number
from dip_lab.plain import printable
from dip_lab.results.history import History
from dip_lab.runs.files import from_here
from dip_lab.scores import duration

log = logging.getLogger(__name__)
PLAIN_SECONDS = 10.0
TIMED = 5  # steps, after the first one, which is slower


class Progress(pl.Callback):
    """Says after a few steps how long the fit takes, then shows the latest row of the history.

    It reads nothing from the device.

    Args:
        seconds: shortest time between two refreshes.
    """

    def __init__(self, seconds: float):
        self.seconds = number("callbacks.progress.seconds", seconds, 0, math.inf)
        self.history: History | None = None  # set by the experiment, as are those below
        self.iterations = 0
        self.stopping = None
        self.what = ""  # such as "denoise astronaut with skip"
        self.picture: Path | None = None  # where the restoration so far can be watched
        self._bar: Bar | None = None
        self._first = (0, 0.0)
        self._shown = 0.0
        self._rows = 0

    def on_train_start(self, trainer, module) -> None:
        console = self._console = Console(stderr=True)
        if console.is_terminal:
            self._strip = BarColumn()
            self._bar = Bar(TextColumn("{task.description}", markup=False), self._strip, console=console,
                            auto_refresh=False)
            self._task = self._bar.add_task("", total=self.iterations)
            self._refresh(self._first[0], [module.problem.name])
            self._bar.start()
        self._first = (0, 0.0)

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        now = time.monotonic()
        if self._first == (0, 0.0):
            self._first, self._shown = (iteration, now), now
            return
        speed = (iteration - self._first[0]) / max(now - self._first[1], 1e-9)
        if iteration - self._first[0] == TIMED:
            self._announce(module, speed)
        if self._bar is not None and now - self._shown >= self.seconds:
            self._refresh(iteration, [*self._parts(iteration, speed), module.problem.name])
            self._shown = now
        elif self._bar is None and now - self._shown >= PLAIN_SECONDS and len(self.history.rows) != self._rows:
            log.info("%d/%d  %s", iteration, self.iterations, "  ".join(self._parts(iteration, speed)))
            self._shown, self._rows = now, len(self.history.rows)

    def _announce(self, module, speed: float) -> None:
        """The first line: what is done, at most how long it takes, and where to watch it."""
        *_, height, width = module.problem.image_shape
        before = self._first[0] - 1
        left = self.iterations - before
        line = f"{self.what}, {width}x{height}: " + (f"continued after iteration {before}, " if before else "")
        line += f"at most {left} iterations of {1 / speed:.2g} s, {duration(left / speed)}"
        if self.stopping.rule.patience is not None:
            line += "; the stopping rule may end it sooner"
        line = printable(line)
        if self.picture:
            line += "\n" + printable(f"watch it in {from_here(self.picture)}")
        if self._bar is not None:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            log.info("%s", line)

    def _refresh(self, iteration: int, parts: list[str]) -> None:
        """Show as many parts as the terminal is wide, in their order, and the bar in what is left."""
        line = f"{iteration}/{self.iterations}"
        for part in parts:
            if cell_len(f"{line}  {printable(part)}  ") > self._console.width:
                break
            line += f"  {printable(part)}"
        self._strip.bar_width = min(40, self._console.width - cell_len(line) - 1)
        self._bar.update(self._task, description=line, completed=iteration, refresh=True)

    def _parts(self, iteration: int, speed: float) -> list[str]:
        """The state of the fit, what matters most first."""
        parts = [f"{duration((self.iterations - iteration) / speed)} left"]
        row = self.history.rows[-1] if self.history.rows else None
        if row:
            psnr = row["psnr_average"] if math.isfinite(row["psnr_average"]) else row["psnr"]
            if math.isfinite(psnr):
                parts.append(f"psnr {psnr:.2f} dB")
            parts.append(f"loss {row['loss']:.3g}")
            if math.isfinite(row["statistic"]):
                parts.append(self.stopping.rule.why_may_stop)
        return [*parts, f"{speed:.1f} it/s"]

    def on_train_end(self, trainer, module) -> None:
        self._close()

    def on_exception(self, trainer, module, exception) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
