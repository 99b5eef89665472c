"""The curves of a fit as rows: kept in memory, and on disk as they come."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from dip_lab.runs.files import no_link, write_text

COLUMNS = ["iteration", "seconds", "loss", "psnr", "psnr_average", "ssim", "statistic"]


class History:
    """Rows of numbers, one every `log_every` iterations; `history.csv` in the run's folder when there is one.

    A row is on disk as soon as it is appended, whatever the tracker does. Not-a-number is an empty field.
    """

    def __init__(self, columns: list[str], path: Path | None):
        self.columns = columns
        self.path = path
        self.rows: list[dict[str, float]] = []

    def resume(self, iteration: int) -> None:
        """Read the rows on disk up to an iteration; what was logged after the checkpoint is computed again."""
        self.rows = []
        if self.path is not None:
            if iteration > 0:
                self.rows = [row for row in read_rows(self.path, self.columns) if row["iteration"] <= iteration]
            self.write()

    def write(self) -> None:
        """Write all rows again."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([self.columns, *map(self._fields, self.rows)])
        write_text(self.path, text.getvalue())

    def append(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        if self.path is not None:
            try:
                with open(self.path, "a", encoding="utf-8", newline="", opener=no_link) as file:
                    csv.writer(file, lineterminator="\n").writerow(self._fields(row))
            except OSError as error:  # the error of a full disk does not name the file
                raise OSError(error.errno, error.strerror, str(self.path)) from error

    def column(self, name: str) -> list[float]:
        return [row.get(name, math.nan) for row in self.rows]

    def peak(self, name: str) -> tuple[float, int] | None:
        """Largest value of a column and its iteration (the first, when there are several)."""
        values = [(row[name], row["iteration"]) for row in self.rows if math.isfinite(row.get(name, math.nan))]
        return max(values, key=lambda value: value[0]) if values else None

    def _fields(self, row: dict[str, float]) -> list[str]:
        return [_field(row.get(column, math.nan)) for column in self.columns]


def read_rows(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, float]]:
    """The rows of a history.csv as numbers, NaN where a field is empty; none where the file cannot be read.

    A line that is no row of numbers is left out: the heading, one that is just being written or was cut off by a crash
    of the machine, one that was damaged.

    Args:
        path: the file.
        columns: their names; None: as the file's first line says.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    try:
        heading, *rows = csv.reader(lines)
    except (csv.Error, ValueError):  # a field of a megabyte; no line at all
        return []
    return [values for row in (heading, *rows) if (values := _numbers(columns or heading, row))]


def _numbers(columns: Sequence[str], fields: Sequence[str]) -> dict[str, float] | None:
    try:
        values = {key: float(field) if field else math.nan for key, field in zip(columns, fields, strict=True)}
        return values | {"iteration": int(values["iteration"])}
    except (KeyError, ValueError, OverflowError):
        return None


def _field(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return repr(value) if math.isfinite(value) else ""
