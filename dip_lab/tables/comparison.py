"""One figure for the cells of a sweep, from their files alone: PSNR against iteration and against seconds. No torch."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure

from dip_lab.results.png import figure_png
from dip_lab.runs.folder import read_result
from dip_lab.tables.cells import Row, net_of

SHOWN = 40  # curves of one task: more cannot be told apart
STYLES = ("-", "--", ":", "-.")
PLOTTED = ("iteration", "seconds", "psnr", "psnr_average")
VARIED = ("net", "picture", "noise", "optimizer", "regularizer", "average", "stopping", "seed")  # make a label


@dataclass(frozen=True)
class Curve:
    """The PSNR along one cell: of the running average where there is one, else of the output."""

    task: str
    label: str
    psnr: float
    chosen: int
    iterations: list[int]
    seconds: list[float]
    values: list[float]


def labelled_cells(group: Path, *needed: str) -> list[tuple[str, Path, dict]]:
    """(label, folder, summary) of the fits in a group's folder that have these figures; labels are unique in a task."""
    read = [(path.parent, read_result(path.parent) or {}) for path in sorted(group.glob("*/result.json"))]
    needed = ("chosen_iteration", *needed)
    cells = [(folder, result) for folder, result in read if all(result.get(key) is not None for key in needed)]
    names = [_label(result, [other for _, other in cells if other.get("task") == result.get("task")])
             for _, result in cells]
    known = Counter((result.get("task"), name) for (_, result), name in zip(cells, names, strict=True))
    # Cells that differ in another key are told apart by the hash in their folder's name.
    return [(name if known[result.get("task"), name] == 1 else f"{name} {result.get('config_hash', folder.name)}",
             folder, result) for (folder, result), name in zip(cells, names, strict=True)]


def curves_of(group: Path) -> list[Curve]:
    """The curves of all cells of a group's folder that have a PSNR, the best first."""
    curves = []
    for label, folder, result in labelled_cells(group, "psnr"):
        curve = Row(folder, result).curves()
        rows = [(int(iteration), seconds, single if average is None else average)
                for iteration, seconds, single, average in zip(*(curve.get(key, ()) for key in PLOTTED), strict=True)
                if None not in (seconds, single)]
        curves.append(Curve(result.get("task", ""), label, result["psnr"], result["chosen_iteration"],
                            [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]))
    return sorted(curves, key=lambda curve: -curve.psnr)


def _label(result: dict, alike: list[dict]) -> str:
    """What tells a cell from the others of its task; its network, where nothing does."""
    result, *alike = ({**each, "net": net_of(each)} for each in (result, *alike))
    varied = [key for key in VARIED if len({other.get(key) for other in alike}) > 1] or ["net"]
    return ", ".join(f"seed {result.get(key)}" if key == "seed" else str(result.get(key)) for key in varied)


def comparison_png(curves: list[Curve]) -> bytes:
    """A row of two plots for each task; a dot marks the image that the stopping rule chose."""
    tasks = sorted({curve.task for curve in curves})
    labels = sorted({curve.label for curve in curves})
    looks = {label: (colormaps["tab10"](i % 10), STYLES[i // 10 % 4]) for i, label in enumerate(labels)}
    most = min(SHOWN, max(sum(curve.task == task for curve in curves) for task in tasks))
    figure = Figure(figsize=(15, max(5.5, 0.21 * most + 1) * len(tasks)), layout="constrained")
    for row, task in zip(figure.subplots(len(tasks), 2, squeeze=False), tasks, strict=True):
        mine = [curve for curve in curves if curve.task == task]
        for axis, key, name in zip(row, ("iterations", "seconds"), ("iteration", "seconds"), strict=True):
            for curve in mine[:SHOWN]:
                color, style = looks[curve.label]
                x = getattr(curve, key)
                axis.plot(x, curve.values, color=color, ls=style, lw=1.2, label=f"{curve.label}  {curve.psnr:.2f}")
                if curve.iterations:
                    at = min(range(len(x)), key=lambda i: abs(curve.iterations[i] - curve.chosen))
                    axis.plot(x[at], curve.values[at], "o", color=color, ms=4)
            axis.set(xlabel=name, ylabel="PSNR [dB]", title=task)
            axis.grid(alpha=0.3)
        row[1].set_xscale("log")
        lows = [value for curve in mine for value in curve.values if math.isfinite(value)]
        if lows:  # the first iterations are far below and would flatten the rest
            bottom = sorted(lows)[len(lows) // 20]
            for axis in row:
                axis.set_ylim(bottom=bottom)
            times = [s for curve in mine for s, v in zip(curve.seconds, curve.values, strict=True) if v >= bottom]
            row[1].set_xlim(left=0.8 * min(times) or None)
        row[1].legend(title="dB at the dot: the rule's choice", fontsize="small", loc="center left",
                      bbox_to_anchor=(1.02, 0.5), frameon=False)
    return figure_png(figure, dpi=110)
