"""Our results beside published ones, from result files alone. No torch.

An experiment that is a table has a node `table`:

    table:
      tolerance: 0.5  # dB within which a result counts as reproduced
      pictures: [F16, House]  # the columns, in the order of the lists below
      rows:
        - {name: DIP, cell: {baseline: none}, key: psnr_8bit, published: [33.69, 32.09], published_mean: 31.29}
        - {name: CBM3D, published: [32.67, 32.72]}  # only quoted

`cell` picks the cells of a row by their options or values, `key` is that of `result.json`.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dip_lab.results.grid import as_latex as latex
from dip_lab.results.grid import as_markdown as markdown
from dip_lab.runs import cell_name, picture_name, read_result

FIELDS = ("method", "picture", "ours", "std", "seeds", "published", "deviation", "within", "status", "key")


@dataclass(frozen=True)
class Cell:
    """One cell of an experiment: its config, its folder (there or not), and its summary if it has one."""

    cfg: DictConfig
    folder: Path
    result: Mapping[str, Any] | None

    @property
    def picture(self) -> str:
        return picture_name(self.cfg)

    @property
    def status(self) -> str:
        """done, interrupted, failed, or missing."""
        return self.result["status"] if self.result else "missing"

    def fits(self, wanted: Mapping[str, Any]) -> bool:
        """Whether it has these options (net: skip) and values (net.width: 64)."""
        choices = self.cfg.hydra.runtime.choices
        return all((choices[key] if key in choices else OmegaConf.select(self.cfg, key)) == value
                   for key, value in wanted.items())


@dataclass(frozen=True)
class Entry:
    """One method and one picture (or "mean", or "all"): dB of ours over the seeds that are done, and as published."""

    method: str
    picture: str
    key: str | None
    ours: float | None
    std: float | None
    seeds: int
    published: float | None
    status: str
    tolerance: float

    @property
    def deviation(self) -> float | None:
        return None if self.ours is None or self.published is None else self.ours - self.published

    @property
    def within(self) -> bool | None:
        """Not below the published value by more than the tolerance, nor above it by more."""
        return None if self.deviation is None else abs(self.deviation) <= self.tolerance


def cell_of(cfg: DictConfig, outputs: Path) -> Cell:
    """The cell of a composed config, below the folder `outputs`."""
    folder = outputs / cfg.name / cell_name(cfg, cfg.hydra.runtime.choices)
    return Cell(cfg, folder, read_result(folder))


def entries(cells: Sequence[Cell]) -> list[Entry]:
    """All entries of a table, row by row; after the pictures the "mean" of those that are done, and that of "all".

    Raises:
        ValueError: the experiment has no table.
    """
    table = OmegaConf.to_container(cells[0].cfg.get("table") or OmegaConf.create(), resolve=False)
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


def _entry(row: Mapping[str, Any], picture: str, cells: Sequence[Cell], published: float | None,
           tolerance: float, is_ours: bool) -> Entry:
    done = [cell.result[row["key"]] for cell in cells if cell.status == "done" and cell.result[row["key"]] is not None]
    states = {cell.status for cell in cells}
    status = "done" if done else next((s for s in ("interrupted", "failed") if s in states), "missing")
    status = status if is_ours else "not ours"
    return Entry(row["name"], picture, row.get("key"), fmean(done) if done else None,
                 stdev(done) if len(done) > 1 else None, len(done), published, status, tolerance)


def _means(row: Mapping[str, Any], line: Sequence[Entry], tolerance: float) -> list[Entry]:
    """Over the pictures that are done, beside the published values of the same; and over all."""
    done = [entry for entry in line if entry.ours is not None]
    ours, seeds = (fmean(e.ours for e in done) if done else None), min((e.seeds for e in done), default=0)
    status = "not ours" if line[0].status == "not ours" else f"{len(done)} of {len(line)}"
    published = row.get("published_mean") or _mean_of(line)
    return [Entry(row["name"], "mean", row.get("key"), ours, None, seeds, _mean_of(done), status, tolerance),
            Entry(row["name"], "all", row.get("key"), ours if len(done) == len(line) else None, None, seeds, published,
                  status, tolerance)]


def _mean_of(line: Sequence[Entry]) -> float | None:
    """The mean of the published values; None unless all are known."""
    published = [entry.published for entry in line]
    return fmean(published) if published and None not in published else None


def as_csv(listed: Iterable[Entry]) -> str:
    """One line an entry, numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for entry in listed:
        row = [getattr(entry, field) for field in FIELDS if field not in ("method", "picture")]
        writer.writerow([entry.method, entry.picture, *("" if value is None else value for value in row)])
    return text.getvalue()


def grid(listed: Sequence[Entry]) -> list[list[str]]:
    """The table as text: a header; of each method ours, then published, then the deviation, where there are any."""
    pictures = list(dict.fromkeys(entry.picture for entry in listed))
    lines = [["", *pictures]]
    for method in dict.fromkeys(entry.method for entry in listed):
        mine = [entry for entry in listed if entry.method == method]
        if any(entry.status != "not ours" for entry in mine):
            lines.append([f"{method}, ours", *map(_ours, mine)])
        if any(entry.published is not None for entry in mine):
            lines.append([f"{method}, published", *(_number(entry.published) for entry in mine)])
        if any(entry.deviation is not None for entry in mine):
            lines.append(["deviation", *map(_deviation, mine)])
    return lines


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
    """PSNR in dB."""
    header, *lines = grid(listed)
    return markdown(header, lines)


def as_latex(listed: Sequence[Entry]) -> str:
    """A tabular of the package booktabs."""
    header, *lines = grid(listed)
    return latex(header, lines)
