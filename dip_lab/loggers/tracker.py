"""The trackers of one cell: opened when the first fit is ready, closed whatever happens."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pytorch_lightning.loggers import Logger

from dip_lab.frames import poster, visible
from dip_lab.loggers.images import log_image
from dip_lab.results.restoration import Restoration

log = logging.getLogger(__name__)


class Tracker:
    """What a cell's curves and its answer are shown to. A context manager that closes what was opened.

    Args:
        make: each opens one logger, and returns None if it cannot.
        settings: gives the config, which the logger shows.
    """

    def __init__(self, make: Sequence[Callable[[], Logger | None]], settings: Callable[[], Mapping[str, Any]]):
        self.make, self.settings = make, settings
        self.loggers: list[Logger] | None = None

    def open(self) -> Sequence[Logger]:
        """The loggers, opened at the first call: not before everything that may be refused has been."""
        if self.loggers is None:
            self.loggers = []
            for make in self.make:
                if logger := make():
                    self.loggers.append(logger)
                    logger.log_hyperparams(self.settings())
        return self.loggers

    def report(self, restoration: Restoration) -> None:
        """Show the picture, the table of the stopping rules and the summary."""
        loggers, summary = self.open(), restoration.summary
        log_image(loggers, "restoration", visible(poster(restoration.image)), summary.iterations or 0)
        rows = [asdict(verdict) for verdict in restoration.verdicts]
        for logger in loggers:
            try:
                if hasattr(logger, "log_table") and rows:
                    logger.log_table("stopping", columns=list(rows[0]), data=[list(row.values()) for row in rows])
                if hasattr(logger, "summarize"):
                    logger.summarize(summary)
            except Exception as error:  # the files are written: a tracker that fails costs nothing
                log.warning("%s did not take the summary: %s", type(logger).__name__, error)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type | None, *rest: Any) -> None:
        """An open W&B run would take the next fit's curves."""
        for logger in self.loggers or ():  # Lightning's own loggers close themselves
            if hasattr(logger, "finish"):
                logger.finish(int(kind is not None))
