"""The cells of a group's folder, read from their result.json and history.csv alone. No torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dip_lab.results.history import read_rows
from dip_lab.runs.claims import LOCK, is_claimed
from dip_lab.runs.folder import RESULT, is_unreadable, read_result

GROUPS = ("task", "net", "baseline", "latent", "optimizer", "stopping", "average", "regularizer", "data", "noise")
CURVES = ("iteration", "seconds", "loss", "psnr", "psnr_average")


@dataclass(frozen=True)
class Row:
    """One cell of a sweep, read from its folder: a row of the tables.

    Attributes:
        folder: where its files are.
        result: its result.json; for an unfinished cell, only what was known when it began.
    """

    folder: Path
    result: dict[str, Any]

    @cached_property
    def status(self) -> str:
        """done, failed, interrupted, running (in a living process), unfinished (its process was killed), or unreadable.
        """
        stored = self.result.get("status", "unfinished")
        if stored != "done" and is_claimed(self.folder):
            return "running"
        return stored if self.result or not is_unreadable(self.folder) else "unreadable"

    @property
    def method(self) -> str:
        """The network, or the baseline that is used instead."""
        return self.result.get("baseline") or net_of(self.result) or self.folder.name

    def value(self, key: str) -> Any:
        """A number or word of result.json, else the value of a config key such as `optimizer.lr`; None: not there.

        >>> cell = Row(Path("c"), {"net": "skip", "config": {"net": {"width": 4}}})
        >>> cell.value("net"), cell.value("net.width"), cell.value("psnr")
        ('skip', 4, None)
        """
        if key == "status":
            return self.status
        if key == "cell":
            return self.folder.name
        if key == "net":
            return net_of(self.result)
        if key in self.result:
            return self.result[key]
        node: Any = self.result.get("config", {})
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        return self.result.get("overrides", {}).get(key) if node is None or isinstance(node, dict) else node

    def curves(self) -> dict[str, list[float | None]]:
        """The columns of history.csv that are curves; None where a field is empty. {} without a history."""
        rows = read_rows(self.folder / "history.csv")
        known = [{key: value for key, value in row.items() if math.isfinite(value)} for row in rows]
        return {key: [row.get(key) for row in known] for key in CURVES} if rows else {}


def net_of(result: Mapping[str, Any]) -> str | None:
    """The network of a result, and that its fit began with weights trained on pictures; None: a baseline.

    >>> net_of({"net": "skip", "restorer": None}), net_of({"net": "skip", "restorer": {"data": "train/bsds500"}})
    ('skip', 'skip, learned start')
    """
    net = result.get("net")
    return f"{net}, learned start" if net and result.get("restorer") else net


def read_cells(group: Path) -> list[Row]:
    """All cells of a group's folder, ordered by what tells them apart; also those killed before they had a result.

    Raises:
        ValueError: there is no such folder, or no cell in it.
    """
    folders = sorted({path.parent for name in (RESULT, LOCK) for path in group.glob(f"*/{name}")})
    if not folders:
        raise ValueError(f"{group}: no cells in this folder: give the folder of a sweep, outputs/<name>")
    cells = [Row(folder, read_result(folder) or {}) for folder in folders]
    keys = varied(cells)
    return sorted(cells, key=lambda cell: [_place(cell.value(key)) for key in keys])


def _place(value: Any) -> tuple:
    """Numbers by size, before words."""
    return (0, value, "") if isinstance(value, int | float) else (1, 0, str(value))


def overridden(cells: Iterable[Row]) -> list[str]:
    """The keys that were changed in any cell, in the order of the commands, without those that have one value."""
    cells = list(cells)
    keys = dict.fromkeys(key for cell in cells for key in cell.result.get("overrides", {}))
    return [key for key in keys if len({str(cell.value(key)) for cell in cells}) > 1]


def varied(cells: Sequence[Row]) -> list[str]:
    """The keys that tell these cells apart: what was overridden, and the options of the groups."""
    cells = [cell for cell in cells if cell.result]  # one that was killed very early differs in everything
    own = [*GROUPS, "picture", "seed"]
    keys = [key for key in own if len({str(cell.value(key)) for cell in cells}) > 1]
    # data.name repeats what picture says, and task/noise what noise says
    again = {"data", "data.name", "data.path", "task/noise", "experiment", "answer", *own}
    return keys + [key for key in overridden(cells) if key not in again]
