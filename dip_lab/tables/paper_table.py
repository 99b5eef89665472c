"""Our results next to published ones, from result files alone. No torch.

An experiment that is a table has a node `table`:

    table:
      tolerance: 0.5  # dB within which a result counts as reproduced
      pictures: [F16, House]  # the columns, in the order of the lists below
      rows:
        - {name: DIP, cell: {baseline: none}, key: psnr_8bit, published: [33.69, 32.09], published_mean: 31.29}
        - {name: CBM3D, published: [32.67, 32.72]}  # only quoted
        - {name: BM3D, published_mean: 37.40, source: "Title, https://..."}  # from another place than the experiment's

`cell` picks the cells of a row by their options or values, `key` is that of `result.json`. The sources of rows are
listed below the table, by number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from dip_lab import plain
from dip_lab.runs.folder import read_result
from dip_lab.runs.identity import Cell, cell_of, selected
from dip_lab.tables.grid import as_latex as latex
from dip_lab.tables.grid import as_markdown as markdown

FIELDS = ("method", "picture", "ours", "std", "seeds", "published", "deviation", "within", "status", "key", "source")
WIDEST = 20  # pictures; a table of more shows only the means, and the CSV has them all


@dataclass(frozen=True)
class Planned:
    """One cell of an experiment, run or not.

    Attributes:
        cell: its identity.
        config: what was composed for it, as plain values, including the node `table`.
        choices: the chosen option of each group.
        folder: where its files are, or will be.
        result: its result.json; None: there is none.
    """

    cell: Cell
    config: Mapping[str, Any]
    choices: Mapping[str, str]
    folder: Path
    result: Mapping[str, Any] | None

    @property
    def picture(self) -> str:
        return self.cell.picture

    @property
    def status(self) -> str:
        """done, interrupted, failed, or missing."""
        return self.result["status"] if self.result else "missing"

    def fits(self, wanted: Mapping[str, Any]) -> bool:
        """Whether it has these options (net: skip) and values (net.width: 64)."""
        return all((self.choices[key] if key in self.choices else selected(self.config, key)) == value
                   for key, value in wanted.items())


@dataclass(frozen=True)
class Entry:
    """One method and one picture (or "mean", or "all"): our dB over the seeds that are done, and the published dB.

    Attributes:
        source: where the published value was read; None: in what the experiment's header names.
    """

    method: str
    picture: str
    key: str | None
    ours: float | None
    std: float | None
    seeds: int
    published: float | None
    status: str
    tolerance: float
    source: str | None

    @property
    def deviation(self) -> float | None:
        return None if self.ours is None or self.published is None else self.ours - self.published

    @property
    def within(self) -> bool | None:
        """Whether ours differs from the published value by no more than the tolerance, up or down."""
        return None if self.deviation is None else abs(self.deviation) <= self.tolerance


def planned(config: Mapping[str, Any], choices: Mapping[str, str], group: Path) -> Planned:
    """The cell of a composed config, in the folder of its group."""
    cell = cell_of(config, choices)
    return Planned(cell, config, choices, group / cell.name, read_result(group / cell.name))


def entries(cells: Sequence[Planned]) -> list[Entry]:
    """All entries of a table, row by row: the pictures, then the "mean" of those that are done, then that of "all".

    Raises:
        ValueError: the experiment has no table.
    """
    table = cells[0].config.get("table") or {}
    if "rows" not in table:
        raise ValueError("this experiment has no node table.rows: it is not a table")
    listed = []
    for row in table["rows"]:
        published = dict(zip(table["pictures"], row.get("published") or (), strict=False))
        mine = [cell for cell in cells if "key" in row and cell.fits(row.get("cell", {}))]
        line = [_entry(row, picture, [cell for cell in mine if cell.picture == picture], published.get(picture),
                       table["tolerance"], bool(mine)) for picture in table["pictures"]]
        listed += [*line, *_means(row, line, table["tolerance"])]
    return listed


def _entry(row: Mapping[str, Any], picture: str, cells: Sequence[Planned], published: float | None,
           tolerance: float, is_ours: bool) -> Entry:
    found = [cell.result.get(row["key"]) for cell in cells if cell.status == "done"]
    done = [value for value in found if value is not None]
    states = {cell.status for cell in cells}
    status = "done" if done else next((s for s in ("interrupted", "failed") if s in states), "missing")
    status = status if is_ours else "not ours"
    return Entry(row["name"], picture, row.get("key"), fmean(done) if done else None,
                 stdev(done) if len(done) > 1 else None, len(done), published, status, tolerance,
                 row.get("source"))


def _means(row: Mapping[str, Any], line: Sequence[Entry], tolerance: float) -> list[Entry]:
    """The mean over the pictures that are done, with the published values of the same, and the mean over all."""
    done = [entry for entry in line if entry.ours is not None]
    ours, seeds = (fmean(e.ours for e in done) if done else None), min((e.seeds for e in done), default=0)
    status = "not ours" if line[0].status == "not ours" else f"{len(done)} of {len(line)}"
    published = row.get("published_mean") or _mean_of(line)
    source = row.get("source")
    return [Entry(row["name"], "mean", row.get("key"), ours, None, seeds, _mean_of(done), status, tolerance, source),
            Entry(row["name"], "all", row.get("key"), ours if len(done) == len(line) else None, None, seeds, published,
                  status, tolerance, source)]


def _mean_of(line: Sequence[Entry]) -> float | None:
    """The mean of the published values; None unless all are known."""
    published = [entry.published for entry in line]
    return fmean(published) if published and None not in published else None


def as_csv(listed: Iterable[Entry]) -> str:
    """One line per entry, numbers in full."""
    return plain.as_csv([FIELDS, *([getattr(entry, field) for field in FIELDS] for entry in listed)])


def grid(listed: Sequence[Entry]) -> list[list[str]]:
    """The table as text: a header; for each method our values, the published ones and the deviation, if there are any.
    """
    pictures = list(dict.fromkeys(entry.picture for entry in listed))
    if len(pictures) > WIDEST + 2:
        pictures = ["mean", "all"]
    lines, sources = [["", *pictures]], _sources(listed)
    for method in dict.fromkeys(entry.method for entry in listed):
        mine = [entry for entry in listed if entry.method == method and entry.picture in pictures]
        if any(entry.status != "not ours" for entry in mine):
            lines.append([f"{method}, ours", *map(_ours, mine)])
        if any(entry.published is not None for entry in mine):
            read = f" [{sources.index(mine[0].source) + 1}]" if mine[0].source else ""
            lines.append([f"{method}, published{read}", *(_number(entry.published) for entry in mine)])
        if any(entry.deviation is not None for entry in mine):
            lines.append(["deviation", *map(_deviation, mine)])
    return lines


def _sources(listed: Iterable[Entry]) -> list[str]:
    """The sources of rows, each once, in the order of their numbers."""
    return list(dict.fromkeys(entry.source for entry in listed if entry.source))


def notes(listed: Iterable[Entry]) -> list[str]:
    """What stands below the table: the sources of rows."""
    return [f"[{number}] {source}" for number, source in enumerate(_sources(listed), 1)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _ours(entry: Entry) -> str:
    if entry.ours is None:
        return "" if entry.status == "not ours" else entry.status
    spread = f" ± {entry.std:.2f} ({entry.seeds})" if entry.std is not None else ""
    return f"{entry.ours:.2f}{spread}" + (f" ({entry.status})" if entry.picture == "mean" else "")


def _deviation(entry: Entry) -> str:
    if entry.deviation is None:
        return ""
    return f"{entry.deviation:+.2f}" + ("" if entry.within else " (outside)")


def as_markdown(listed: Sequence[Entry]) -> str:
    """The table in Markdown, PSNR in dB."""
    header, *lines = grid(listed)
    return markdown(header, lines, notes(listed))


def as_latex(listed: Sequence[Entry]) -> str:
    """A tabular of the package booktabs."""
    header, *lines = grid(listed)
    return latex(header, lines, notes(listed))
