"""The cells of a sweep side by side: a list, and the means over seeds by two keys. No torch."""

import csv
import io
import operator
import re
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

from dip_lab.results.cells import Cell, overridden, varied
from dip_lab.results.grid import Best, as_text
from dip_lab.results.grid import as_markdown as markdown

Table = tuple[list[str], list[list[str | Best]]]  # header, lines
FIRST = ("task", "net", "baseline", "picture")
OF_FUSION = ("en", "mi", "sd", "sf", "ag", "scd", "qabf", "ssim_sources", "vif")
OF_CLIPS = ("temporal_error", "warping_error")
SCORES = ("psnr", "ssim", "psnr_hole", "psnr_y", *OF_FUSION)
LAST = ("seed", "status", *SCORES, *OF_CLIPS, "psnr_peak", "psnr_observed", "chosen_iteration", "iterations", "seconds",
        "parameters", "cell", "error")
MEASURED = ("psnr", "seconds", "peak_memory")
LESS_IS_BETTER = (*OF_CLIPS, "seconds", "seconds_per_iteration", "peak_memory_mb", "parameters")
AGAIN = ("data", "data.name", "data.path", "task/noise", "experiment")  # said by other columns
SHOWN = 60  # cells listed on a terminal
WIDE = 70  # characters of a field there; error.txt has the whole


def columns(cells: Sequence[Cell]) -> list[str]:
    """The columns of summary.csv: what a cell is, the keys that were overridden, and how it ended."""
    rare = {*OF_FUSION, *OF_CLIPS}  # only where a cell has them
    last = [key for key in LAST if key not in rare or any(cell.value(key) is not None for cell in cells)]
    own = [*FIRST, *last]
    return [*FIRST, *(key for key in overridden(cells) if key not in (*own, *AGAIN)), *last]


def as_csv(cells: Sequence[Cell]) -> str:
    """One row a cell, numbers in full, empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = columns(cells)
    writer.writerow(keys)
    for cell in cells:
        writer.writerow(["" if (value := cell.value(key)) is None else value for key in keys])
    return text.getvalue()


def listed(cells: Sequence[Cell]) -> Table:
    """(header, lines): one line a cell, the columns that say something.

    The best of each score is marked, among the cells with the same task, picture and noise: others do not compare.
    """
    keys = [key for key in columns(cells) if any(cell.value(key) is not None for cell in cells)]
    alike: dict[tuple, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(_problem(cell), []).append(cell)
    best = {(problem, key): max(values) for problem, group in alike.items() for key in SCORES
            if len(values := _numbers(group, key)) > 1}
    lines = []
    for cell in cells:
        values = [(key, cell.value(key)) for key in keys]
        lines.append([Best(_text(key, value)) if value is not None and value == best.get((_problem(cell), key))
                      else _text(key, value) for key, value in values])
    return keys, lines


def _problem(cell: Cell) -> tuple:
    return tuple(str(cell.value(key)) for key in ("task", "picture", "noise"))


def pivot(cells: Sequence[Cell], rows: str, across: str, score: str = "psnr") -> Table:
    """(header, lines): a line for each value of `rows`, a column for each of `across`; the best of a column is marked.

    A field is the mean over its cells and, where it has several seeds, ± the standard deviation over the seeds (of
    the mean over all else). What is missing is said: `2 of 3`, `failed`, `running`; `-` where there is no such cell.

    Raises:
        ValueError: no cell has this key.
    """
    for key in (rows, across, score):
        if all(cell.value(key) is None for cell in cells):
            raise ValueError(f"{key}: no cell has it; there are {', '.join([*varied(cells), *SCORES])}")
    names = {key: list(dict.fromkeys(_text(key, cell.value(key)) for cell in cells)) for key in (rows, across)}
    fields = {}
    for cell in cells:
        fields.setdefault((_text(rows, cell.value(rows)), _text(across, cell.value(across))), []).append(cell)
    most = {column: max((len(f) for (_, c), f in fields.items() if c == column)) for column in names[across]}
    lines = [[row] for row in names[rows]]
    for column in names[across]:
        means = {row: _mean(fields.get((row, column), []), score) for row in names[rows]}
        known = [mean for mean in means.values() if mean is not None]
        best = (min if score in LESS_IS_BETTER else max)(known, default=None)
        for line in lines:
            row = line[0]
            text = _field(fields.get((row, column), []), score, most[column])
            line.append(Best(text) if means[row] is not None and means[row] == best and len(known) > 1 else text)
    return [f"{score}: {rows}", *(f"{across}={name}" for name in names[across])], lines


def _mean(cells: Sequence[Cell], score: str) -> float | None:
    values = _numbers(cells, score)
    return fmean(values) if values else None


def _field(cells: Sequence[Cell], score: str, most: int) -> str:
    if not cells:
        return "-"
    values = _numbers(cells, score)
    if not values:
        return next((s for s in ("running", "failed", "interrupted") if s in {c.status for c in cells}), "unfinished")
    seeds: dict[Any, list[float]] = {}
    for cell in cells:
        seeds.setdefault(cell.value("seed"), []).extend(_numbers([cell], score))
    means = [fmean(found) for found in seeds.values() if found]
    text = _text(score, fmean(values)) + (f" ± {stdev(means):.2g}" if len(means) > 1 else "")
    return text if len(values) == most else f"{text} ({len(values)} of {most})"


def _numbers(cells: Iterable[Cell], key: str) -> list[float]:
    """Of the cells that are done; the scores of an interrupted fit would improve still."""
    return [value for cell in cells if cell.status == "done" and isinstance(value := cell.value(key), int | float)]


def _text(key: str, value: Any) -> str:
    """Scores and seconds with the decimals that matter, settings as they were written."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if key.startswith("ssim") else f"{value:.2f}" if key.startswith(MEASURED) else f"{value:.6g}"


def choose_keys(cells: Sequence[Cell]) -> tuple[str, str] | None:
    """The two keys for a pivot: those with the most values; None where fewer than two tell the cells apart."""
    keys = [key for key in varied(cells) if key != "seed"]
    if not keys:
        return None
    ranked = sorted(keys, key=lambda key: -len({str(cell.value(key)) for cell in cells}))
    first = len({str(cell.value(ranked[0])) for cell in cells})
    others = [key for key in ranked[1:]  # not one that follows from the first
              if len({(str(cell.value(ranked[0])), str(cell.value(key))) for cell in cells}) > first]
    return (ranked[0], others[0]) if others else None


def as_markdown(cells: Sequence[Cell]) -> str:
    """summary.md: the means by two keys where there are two, and the list."""
    keys = choose_keys(cells)
    means = markdown(*pivot(cells, *keys)) + "\n" if keys and any(_numbers(cells, "psnr")) else ""
    return means + markdown(*listed(cells))


def print_table(cells: Sequence[Cell]) -> None:
    """What differs from cell to cell, and the scores; of very many cells the means only."""
    keys = choose_keys(cells)
    if keys and _numbers(cells, "psnr"):
        print(as_text(*pivot(cells, *keys)))
    if len(cells) <= SHOWN:
        print(as_text(*short_list(cells)))


def short_list(cells: Sequence[Cell]) -> Table:
    """Of the list, the columns that tell the cells apart, and the scores."""
    header, lines = listed(cells)
    told = ["net", *varied(cells), "status", *SCORES, "chosen_iteration", "seconds", "error"]
    places = [header.index(name) for name in dict.fromkeys(told) if name in header]
    short = [[field if isinstance(field, Best) or len(field) <= WIDE else field[:WIDE - 1] + "…" for field in line]
             for line in lines]
    return [header[n] for n in places], [[line[n] for n in places] for line in short]


TESTS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def where(cells: Iterable[Cell], condition: str) -> list[Cell]:
    """The cells that fulfil `net=skip,unet`, `net!=skip`, `psnr>25`; numbers are compared as numbers.

    Raises:
        ValueError: the condition cannot be read.
    """
    found = re.fullmatch(r"\s*([\w./]+)\s*(!=|<=|>=|=|<|>)\s*(.+)", condition)
    if not found:
        raise ValueError(f"{condition}: write a condition such as net=skip,unet or 'psnr>25'")
    key, sign, text = found.groups()
    if sign in ("=", "!="):
        wanted = [_number(part) for part in text.split(",")]
        return [cell for cell in cells if (_number(cell.value(key)) in wanted) == (sign == "=")]
    limit = _number(text)
    if isinstance(limit, str):
        raise ValueError(f"{condition}: {text} is not a number")
    values = [(cell, _number(cell.value(key))) for cell in cells]
    return [cell for cell, value in values if isinstance(value, float) and TESTS[sign](value, limit)]


def _number(value: Any) -> float | str:
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def ordered(cells: Iterable[Cell], key: str) -> list[Cell]:
    """The best first, of a score; ascending by anything else; cells without a value last."""
    down = key.startswith(SCORES[:2])

    def place(cell: Cell) -> tuple:
        value = cell.value(key)
        if value is None:
            return 2, 0.0, ""
        return (0, -value if down else value, "") if isinstance(value, int | float) else (1, 0.0, str(value))

    return sorted(cells, key=place)
