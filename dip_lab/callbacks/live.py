"""The curve of a fit while it runs, in a notebook."""

import sys
import time

import pytorch_lightning as pl

from dip_lab.callbacks.curves import Curves
from dip_lab.results.figures import curves_figure
from dip_lab.results.png import figure_png


def in_notebook() -> bool:
    """Whether an IPython kernel runs this process (a terminal's IPython has no `kernel`)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


class LiveCurve(pl.Callback):
    """Redraws the curve every two seconds, and removes it at the end, when the restoration is displayed."""

    def __init__(self):
        self._handle = None
        self._drawn = 0.0

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        history = next(c.history for c in trainer.callbacks if isinstance(c, Curves))
        if time.monotonic() - self._drawn < 2 or len(history.rows) < 2:
            return
        from IPython.display import Image, display

        picture = Image(figure_png(curves_figure(history, f"iteration {iteration}", None, None, {}), dpi=70))
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
        self._drawn = time.monotonic()

    def on_train_end(self, trainer, module) -> None:
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(""))
