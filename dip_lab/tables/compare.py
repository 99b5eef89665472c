"""The cells of a sweep side by side: a list, and the means over seeds by two keys. No torch."""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from dip_lab import plain
from dip_lab.scores import OWN, Score, judged, known
from dip_lab.tables.cells import Row, overridden, varied
from dip_lab.tables.grid import Best, as_text
from dip_lab.tables.grid import as_markdown as markdown

Table = tuple[list[str], list[list[str | Best]]]  # header, lines
FIRST = ("task", "net", "baseline", "picture")
AGAIN = ("data", "data.name", "data.path", "task/noise", "experiment")  # repeated by other columns
BEST = {"higher": max, "lower": min}
SHOWN = 60  # cells listed on a terminal
WIDE = 70  # characters of a field there; error.txt has the whole


def columns(cells: Sequence[Row]) -> list[str]:
    """The columns of summary.csv: what a cell is, the keys that were overridden, and how it ended."""
    listed = [key for key, score in scores_of(cells).items() if score.listed
              and (score.common or any(cell.value(key) is not None for cell in cells))]
    last = ["seed", "status", *listed, "cell", "error"]
    return [*FIRST, *(key for key in overridden(cells) if key not in (*FIRST, *last, *AGAIN)), *last]


def scores_of(cells: Iterable[Row]) -> dict[str, Score]:
    """The entries of the table of scores, and those that the cells' own tasks describe."""
    return known(cell.result for cell in cells)


def as_csv(cells: Sequence[Row]) -> str:
    """One row per cell, numbers in full, empty fields for missing values."""
    keys = columns(cells)
    return plain.as_csv([keys, *([cell.value(key) for key in keys] for cell in cells)])


def listed(cells: Sequence[Row]) -> Table:
    """(header, lines): one line per cell, without empty columns.

    The best of each score is marked, among the cells with the same task, picture and noise: others cannot be compared.
    """
    keys = [key for key in columns(cells) if any(cell.value(key) is not None for cell in cells)]
    alike: dict[tuple, list[Row]] = {}
    for cell in cells:
        alike.setdefault(_problem(cell), []).append(cell)
    scores = scores_of(cells)
    best = {(problem, key): BEST[better](values) for problem, group in alike.items()
            for key, better in judged(scores).items() if len(values := _numbers(group, key)) > 1}
    lines = []
    for cell in cells:
        values = [(key, cell.value(key)) for key in keys]
        lines.append([Best(_text(scores, key, value)) if value is not None and value == best.get((_problem(cell), key))
                      else _text(scores, key, value) for key, value in values])
    return keys, lines


def _problem(cell: Row) -> tuple:
    return tuple(str(cell.value(key)) for key in ("task", "picture", "noise"))


def pivot(cells: Sequence[Row], rows: str, across: str, score: str = "psnr") -> Table:
    """(header, lines): a line for each value of `rows`, a column for each of `across`; the best of a column is marked.

    A field is the mean over its cells and, where it has several seeds, ± the standard deviation over the seeds (of
    the mean over all else). Missing values are stated: `2 of 3`, `failed`, `running`; `-` where there is no such cell.

    Raises:
        ValueError: no cell has this key.
    """
    scores = scores_of(cells)
    for key in (rows, across, score):
        if all(cell.value(key) is None for cell in cells):
            raise ValueError(f"{key}: no cell has it; there are {', '.join([*varied(cells), *judged(scores)])}")
    names = {key: list(dict.fromkeys(_text(scores, key, cell.value(key)) for cell in cells)) for key in (rows, across)}
    fields = {}
    for cell in cells:
        place = tuple(_text(scores, key, cell.value(key)) for key in (rows, across))
        fields.setdefault(place, []).append(cell)
    least = score in scores and scores[score].better == "lower"
    most = {column: max((len(f) for (_, c), f in fields.items() if c == column)) for column in names[across]}
    lines = [[row] for row in names[rows]]
    for column in names[across]:
        means = {row: _mean(fields.get((row, column), []), score) for row in names[rows]}
        means_here = [mean for mean in means.values() if mean is not None]
        best = (min if least else max)(means_here, default=None)
        for line in lines:
            row = line[0]
            text = _field(scores, fields.get((row, column), []), score, most[column])
            line.append(Best(text) if means[row] is not None and means[row] == best and len(means_here) > 1 else text)
    return [f"{score}: {rows}", *(f"{across}={name}" for name in names[across])], lines


def _mean(cells: Sequence[Row], score: str) -> float | None:
    values = _numbers(cells, score)
    return fmean(values) if values else None


def _field(scores: Mapping[str, Score], cells: Sequence[Row], score: str, most: int) -> str:
    if not cells:
        return "-"
    values = _numbers(cells, score)
    if not values:
        return next((s for s in ("running", "failed", "interrupted") if s in {c.status for c in cells}), "unfinished")
    seeds: dict[Any, list[float]] = {}
    for cell in cells:
        seeds.setdefault(cell.value("seed"), []).extend(_numbers([cell], score))
    means = [fmean(found) for found in seeds.values() if found]
    text = _text(scores, score, fmean(values)) + (f" ± {stdev(means):.2g}" if len(means) > 1 else "")
    return text if len(values) == most else f"{text} ({len(values)} of {most})"


def _numbers(cells: Iterable[Row], key: str) -> list[float]:
    """The values of the cells that are done; those of an interrupted fit could still improve."""
    return [value for cell in cells if cell.status == "done" and isinstance(value := cell.value(key), int | float)]


def _text(scores: Mapping[str, Score], key: str, value: Any) -> str:
    """Scores and seconds with the decimals that matter, settings as they were written."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return scores[key].text(value) if key in scores else f"{value:.6g}"


def choose_keys(cells: Sequence[Row]) -> tuple[str, str] | None:
    """The two keys for a pivot: those with the most values; None where fewer than two tell the cells apart."""
    keys = [key for key in varied(cells) if key != "seed"]
    if not keys:
        return None
    ranked = sorted(keys, key=lambda key: -len({str(cell.value(key)) for cell in cells}))
    first = len({str(cell.value(ranked[0])) for cell in cells})
    others = [key for key in ranked[1:]  # not one that follows from the first
              if len({(str(cell.value(ranked[0])), str(cell.value(key))) for cell in cells}) > first]
    return (ranked[0], others[0]) if others else None


def as_markdown(cells: Sequence[Row]) -> str:
    """summary.md: the means by two keys where there are two, the list, and a note on scores that few readers know."""
    keys = choose_keys(cells)
    means = markdown(*pivot(cells, *keys)) + "\n" if keys and any(_numbers(cells, "psnr")) else ""
    own = {entry["key"] for cell in cells for entry in cell.result.get(OWN) or ()}
    notes = [f"`{key}`: " + ", ".join(filter(None, (score.unit, score.note)))
             for key, score in scores_of(cells).items() if key in own and score.listed and score.note]
    return means + markdown(*listed(cells)) + (f"\n{'; '.join(notes)}\n" if notes else "")


def print_table(cells: Sequence[Row]) -> None:
    """What differs from cell to cell, and the scores; for very many cells only the means."""
    keys = choose_keys(cells)
    if keys and _numbers(cells, "psnr"):
        print(as_text(*pivot(cells, *keys)))
    if len(cells) <= SHOWN:
        print(as_text(*short_list(cells)))


def short_list(cells: Sequence[Row]) -> Table:
    """The list, with only the columns that tell the cells apart and the scores."""
    header, lines = listed(cells)
    told = ["net", *varied(cells), "status", *judged(scores_of(cells)), "chosen_iteration", "seconds", "error"]
    places = [header.index(name) for name in dict.fromkeys(told) if name in header]
    short = [[field if isinstance(field, Best) or len(field) <= WIDE else field[:WIDE - 1] + "…" for field in line]
             for line in lines]
    return [header[n] for n in places], [[line[n] for n in places] for line in short]


TESTS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def where(cells: Iterable[Row], condition: str) -> list[Row]:
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


def ordered(cells: Iterable[Row], key: str) -> list[Row]:
    """The cells by a score, the best first, or by any other key, ascending; cells without a value come last."""
    cells = list(cells)
    scores = scores_of(cells)
    down = key in scores and scores[key].better == "higher" or key.startswith("psnr")

    def place(cell: Row) -> tuple:
        value = cell.value(key)
        if value is None:
            return 2, 0.0, ""
        return (0, -value if down else value, "") if isinstance(value, int | float) else (1, 0.0, str(value))

    return sorted(cells, key=place)
