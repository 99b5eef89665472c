"""Ctrl-C, SIGTERM and a cluster's warning end the fit after the current step instead of in the middle of it."""

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from dip_lab import ctrl_c

# A cluster's warning of a time limit or a preemption; handled only if something, such as submitit, waits for it.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)


class Interrupt(pl.Callback):
    """`signal` is the signal that ended the fit, or None. A second one does what it would have done without the fit.

    As a context manager it restores the handlers that were set before the fit.
    """

    def __init__(self, hurry: Callable[[], None] = lambda: None):
        self.signal: int | None = None
        self.hurry = hurry  # asks for a checkpoint soon
        self._before: dict[int, Any] = {}

    @property
    def name(self) -> str | None:
        """SIGINT, SIGTERM or one of the warnings; None without a signal."""
        return None if self.signal is None else signal.Signals(self.signal).name

    def on_train_start(self, trainer, module) -> None:
        # Lightning has set its own handlers by now; these replace them. It would end at once with what it noted.
        self._set_handlers()
        trainer._signal_connector.received_sigterm = False

    def _handle(self, number: int, frame) -> None:
        before = self._before[number]
        if number == signal.SIGTERM and callable(before):
            # submitit lets SIGTERM pass, and so must the fit: SLURM counts a job that ends by itself in the grace
            # time of a preemption as finished, and queues again only those that it had to kill.
            self.hurry()
            before(number, frame)
            return
        if self.signal not in WARNINGS:  # a warning must be handed over, whatever signal follows
            self.signal = number
        signal.signal(number, self._second(number))

    def _second(self, number: int) -> Any:
        return signal.SIG_DFL if number == signal.SIGINT else self._before[number]

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        if self.signal is not None:
            trainer.should_stop = True

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, *WARNINGS)}
            # Ignored signals (Ctrl-C in a job that a script put in the background) stay ignored.
            self._before = {number: h for number, h in handlers.items() if h not in (signal.SIG_IGN, None)
                            and (callable(h) or number not in WARNINGS)}
        # From here on: Lightning answers a KeyboardInterrupt before the first step with exit code 1 and no word.
        self._set_handlers()
        if ctrl_c.came:
            self.signal = signal.SIGINT
        return self

    def _set_handlers(self) -> None:
        for number in self._before:
            signal.signal(number, self._second(number) if number == self.signal else self._handle)

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def hand_over(name: str) -> None:
    """Pass a warning on to what waited for it before the fit: submitit queues the job again and ends the process."""
    number = signal.Signals[name]
    handler = signal.getsignal(number)
    if number in WARNINGS and callable(handler):
        handler(number, None)
