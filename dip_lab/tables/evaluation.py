"""Restorers on whole test sets, beside published means and DIP's own results on the same observations. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import OmegaConf

from dip_lab import plain
from dip_lab.runs.folder import RESULT, read_result
from dip_lab.runs.identity import selected
from dip_lab.scores import SCORES
from dip_lab.tables.cells import net_of
from dip_lab.tables.grid import as_markdown
from dip_lab.tables.paper_table import Planned

OURS, KAIR = "ours", "KAIR"
SCORE = {OURS: "psnr", KAIR: "psnr_8bit"}  # of result.json
FIELDS = ("method", "data", "sigma", "protocol", "picture", "psnr", "ssim", "pictures", "source")
MEAN = "mean"


@dataclass(frozen=True, order=True)
class Column:
    """What restorers are compared on.

    Attributes:
        data: an option of configs/data.
        sigma: of the noise, in 8-bit units; None: it has no sigma.
        protocol: OURS, noise clipped to [0, 1]; or KAIR, noise not clipped, the answer rounded to 8 bits.
    """

    data: str
    sigma: float | None
    protocol: str

    @property
    def title(self) -> str:
        level = "" if self.sigma is None else f", sigma {self.sigma:g}"
        return f"{self.data}{level}" + ("" if self.protocol == OURS else f", {self.protocol}")


@dataclass(frozen=True)
class Value:
    """What a method reached on one picture.

    Attributes:
        picture: its name, or MEAN.
        pictures: of how many it is the mean; None: of a published set.
        source: where a published value was read; None: it is ours.
    """

    method: str
    column: Column
    picture: str
    psnr: float
    ssim: float | None
    pictures: int | None = 1
    source: str | None = None


def column_of(cell: Planned, protocol: str) -> Column:
    """The column that a cell belongs to."""
    sigma = selected(cell.config, "task.noise.sigma")
    return Column(cell.choices["data"], None if sigma is None else float(sigma), protocol)


def value_of(result: Mapping[str, Any], method: str, column: Column, picture: str) -> Value | None:
    """What a cell's result.json says; None where it has no score."""
    psnr = result.get(SCORE[column.protocol])
    return None if psnr is None else Value(method, column, picture, psnr, result.get("ssim"))


def of_dip(outputs: Path, observations: Mapping[str, tuple[Column, str]]) -> list[Value]:
    """What fitted networks made of the same observations, from all runs below `outputs`.

    Args:
        outputs: folder of groups of cells.
        observations: digest of what was observed -> (its column, the picture's name).
    """
    values = []
    for path in sorted(outputs.glob(f"*/*/{RESULT}")):
        result = read_result(path.parent)
        if not result or result["status"] != "done" or not result.get("net"):
            continue
        if (known := observations.get(str(result.get("observation")))) is None:
            continue
        regularizer = result.get("regularizer") or "none"
        net = net_of(result) if regularizer == "none" else f"{net_of(result)}+{regularizer}"
        value = value_of(result, f"DIP {net} ({path.parent.parent.name})", *known)
        values += [value] if value else []
    return values


def published(sizes: Mapping[Column, int]) -> list[Value]:
    """The published means for these columns, as far as they have all pictures of the set.

    They stand under KAIR's protocol where it is asked for, otherwise beside ours.
    """
    known = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("published_denoisers.yaml")))
    columns = [column for column, size in sizes.items() if known["sizes"].get(column.data) == size]
    both = any(column.protocol == KAIR for column in columns)
    values = []
    for entry in known["tables"]:
        for column in columns:
            if column.protocol == (KAIR if both else OURS):
                means = entry["means"].get(column.data, {}).get(column.sigma, {})
                values += [Value(f"{method}, published", column, MEAN, psnr, None, None, entry["source"])
                           for method, psnr in means.items()]
    return values


def means_of(values: Iterable[Value]) -> list[Value]:
    """The mean of each method in each column over its pictures, each of which counts once."""
    found: dict[tuple[str, Column], dict[str, list[Value]]] = {}
    for value in values:
        found.setdefault((value.method, value.column), {}).setdefault(value.picture, []).append(value)
    means = []
    for (method, column), pictures in found.items():
        psnr = fmean(fmean(value.psnr for value in each) for each in pictures.values())
        known = [fmean(value.ssim for value in each) for each in pictures.values()
                 if all(value.ssim is not None for value in each)]
        means.append(Value(method, column, MEAN, psnr, fmean(known) if len(known) == len(pictures) else None,
                           len(pictures)))
    return means


def as_csv(values: Iterable[Value]) -> str:
    """One line for each value, numbers in full."""
    rows = [[value.method, value.column.data, value.column.sigma, value.column.protocol, value.picture, value.psnr,
             value.ssim, value.pictures, value.source] for value in values]
    return plain.as_csv([FIELDS, *rows])


def page(values: Sequence[Value], quoted: Sequence[Value], sizes: Mapping[Column, int], pictures: bool) -> str:
    """The table of means in Markdown, with its notes; with `pictures`, a table for each column below.

    Args:
        values: ours, picture by picture.
        quoted: published means.
        sizes: how many pictures each column has.
        pictures: whether to list them.
    """
    columns, means = list(sizes), [*means_of(values), *quoted]
    places = {}
    for value in means:
        places.setdefault((value.method, value.source), {})[value.column] = value
    sources = list(dict.fromkeys(value.source for value in quoted))
    lines = []
    for (method, source), mine in places.items():
        label = method if source is None else f"{method} [{sources.index(source) + 1}]"
        lines.append([label, *(_field(mine.get(column), sizes[column]) for column in columns)])
    notes = ["PSNR in dB / SSIM, means over the pictures. " + _protocols(columns)]
    if sources and not any(column.protocol == KAIR for column in columns):
        notes[0] += (" Published means are for noise that is not clipped: faithful=true measures under that protocol "
                     "too.")
    notes += [f"[{number}] {source}" for number, source in enumerate(sources, 1)]
    text = as_markdown(["", *(column.title for column in columns)], lines, notes)
    return text + "".join(_by_picture(values, column) for column in columns if pictures)


def _protocols(columns: Iterable[Column]) -> str:
    kair = any(column.protocol == KAIR for column in columns)
    return "The noise is clipped to [0, 1]" + (
        "; under KAIR's protocol it is not, its draws are the same for each picture, and the answer is rounded to 8 "
        "bits." if kair else ".")


def _by_picture(values: Sequence[Value], column: Column) -> str:
    mine = [value for value in values if value.column == column]
    methods = list(dict.fromkeys(value.method for value in mine))
    found: dict[tuple[str, str], list[float]] = {}
    for value in mine:
        found.setdefault((value.picture, value.method), []).append(value.psnr)
    lines = [[name, *(_text(found.get((name, method))) for method in methods)]
             for name in sorted({value.picture for value in mine})]
    return f"\n## {column.title}\n\n" + as_markdown(["PSNR in dB", *methods], lines)


def _text(values: Sequence[float] | None) -> str:
    return SCORES["psnr"].text(fmean(values)) if values else ""


def _field(value: Value | None, size: int) -> str:
    if value is None:
        return ""
    ssim = "" if value.ssim is None else f" / {SCORES['ssim'].text(value.ssim)}"
    part = "" if value.pictures in (None, size) else f" ({value.pictures} of {size})"
    return f"{SCORES['psnr'].text(value.psnr)}{ssim}{part}"
