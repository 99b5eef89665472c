"""Ctrl-C and SIGTERM end the fit after the present step instead of in the middle of it."""

import signal
import threading

import pytorch_lightning as pl


class Interrupt(pl.Callback):
    """`signal` is the signal that ended the fit, or None. A second signal ends the process at once.

    As a context manager it puts the handlers of before the fit back.
    """

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    @property
    def name(self) -> str | None:
        """SIGINT or SIGTERM; None without a signal."""
        return None if self.signal is None else signal.Signals(self.signal).name

    def on_train_start(self, trainer, module) -> None:
        # Lightning has set its own handlers by now; these replace them.
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number in self._before:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        if self.signal is not None:
            trainer.should_stop = True

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            # What is ignored (Ctrl-C in a job that a script put in the background) stays so.
            self._before = {number: h for number, h in handlers.items() if h not in (signal.SIG_IGN, None)}
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
