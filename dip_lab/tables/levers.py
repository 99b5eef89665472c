"""Which setting reaches a PSNR in how many seconds, from the files of a sweep's cells alone. No torch."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from matplotlib.figure import Figure

from dip_lab.results.verdicts import STOPPING_CSV, read_verdicts
from dip_lab.runs.identity import AROUND
from dip_lab.tables.cells import Row, read_cells
from dip_lab.tables.grid import Code, as_markdown

PROBLEM = ("data", "task", "seed")  # keys that say what is restored; most others make the setting
MARGIN = 0.1  # dB below the reference's PSNR that count as reached
WITHOUT = "(none)"


@dataclass(frozen=True)
class Try:
    """One cell: a setting on a problem.

    Attributes:
        setting: the overrides that are not about the problem, as they are typed.
        problem: picture, task, noise and seed.
        curve: (iteration, PSNR of the average) along the fit.
        psnr, ssim: of the answer that the rule chose.
        iterations: how many were run.
        ended: whether the rule ended the fit.
    """

    setting: str
    problem: str
    curve: Sequence[tuple[int, float]]
    psnr: float
    ssim: float
    iterations: int
    ended: bool

    def reached(self, psnr: float) -> int | None:
        """The first iteration whose average has this PSNR; None if there is none."""
        return next((iteration for iteration, value in self.curve if value >= psnr), None)


def tries_of(group: Path) -> list[Try]:
    """The finished fits of a group's folder that have a target.

    Raises:
        ValueError: there are none.
    """
    tries = [_try(cell) for cell in read_cells(group)
             if cell.status == "done" and None not in map(cell.result.get, ("psnr", "ssim"))
             and cell.result.get("iterations")]
    if not tries:
        raise ValueError(f"{group}: no finished cell with a target")
    return tries


def setting_of(result: Mapping) -> str:
    """
    >>> setting_of({"overrides": {"net": "skip", "data.name": "House", "seed": 1, "iterations": 600}})
    'net=skip iterations=600'
    """
    own = {key: value for key, value in result.get("overrides", {}).items()
           if key.split(".")[0].split("/")[0] not in (*PROBLEM, *AROUND)}
    return " ".join(f"{key}={json.dumps(value) if isinstance(value, list | bool) else value}".replace(" ", "")
                    for key, value in own.items()) or WITHOUT


def _try(cell: Row) -> Try:
    result, curves = cell.result, cell.curves()
    values = [average if average is not None else single
              for average, single in zip(curves.get("psnr_average", ()), curves.get("psnr", ()), strict=True)]
    curve = [(int(iteration), value) for iteration, value in zip(curves.get("iteration", ()), values, strict=True)
             if value is not None]
    sigma = (cell.value("task.sigma") or 25) if result.get("noise") in ("auto", "gaussian") else None
    task, seed = result.get("task"), result.get("seed")
    degraded = task if task != "denoise" else f"sigma {sigma}"
    problem = f"{result.get('picture')}, {degraded}" + (f", seed {seed}" if seed else "")
    ended = any(row.obeyed and row.stopped_iteration is not None for row in read_verdicts(cell.folder / STOPPING_CSV))
    return Try(setting_of(result), problem, curve, result["psnr"], result["ssim"], result["iterations"], ended)


def levers_table(tries: Sequence[Try], reference: str, steps: Mapping[str, Mapping[str, float]]) -> str:
    """One line for each setting: iterations and seconds to the reference's PSNR - 0.1 dB, and the answer's PSNR.

    Means over the problems that the setting and the reference share; a setting that missed the PSNR anywhere has no
    seconds. The quickest comes first.

    Args:
        reference: the setting whose answers are to be reached.
        steps: {kind of processor: {setting: seconds of a step}}.

    Raises:
        ValueError: no cell has the reference's setting.
    """
    goals = {each.problem: each.psnr for each in tries if each.setting == reference}
    if not goals:
        raise ValueError(f"no cell has the setting {reference}; there are: {'; '.join({t.setting for t in tries})}")
    lines = []
    for setting, mine in by_setting(each for each in tries if each.problem in goals).items():
        reached = [each.reached(goals[each.problem] - MARGIN) for each in mine]
        missed = sum(iteration is None for iteration in reached)
        iterations = math.inf if missed else fmean(reached)
        gaps = [each.psnr - goals[each.problem] for each in mine]
        seconds = ["-" if missed or setting not in world else f"{iterations * world[setting]:.0f}"
                   for world in steps.values()]
        lines.append((iterations, [
            Code(setting), str(len(mine)), f"missed {missed}" if missed else f"{iterations:.0f}", *seconds,
            f"{fmean(gaps):+.2f}", f"{min(gaps):+.2f}",
            f"{fmean(each.iterations for each in mine):.0f}", f"{sum(each.ended for each in mine)} of {len(mine)}"]))
    header = ["setting", "fits", "iterations to reach it", *(f"seconds, {world}" for world in steps),
              "answer against it, dB: mean", "worst", "iterations in all", "ended by the rule"]
    return as_markdown(header, [line for _, line in sorted(lines, key=lambda pair: pair[0])])


def versus_table(tries: Sequence[Try], old: str, new: str, steps: Mapping[str, Mapping[str, float]]) -> str:
    """Two settings problem by problem: PSNR, SSIM, iterations, seconds; and how many times fewer seconds.

    Processors on which one of the two was not timed are left out.
    """
    steps = {world: times for world, times in steps.items() if old in times and new in times}
    pairs = defaultdict(dict)
    for each in tries:
        if each.setting in (old, new):
            pairs[each.problem][each.setting] = each
    lines, ratios = [], defaultdict(list)
    for problem, found in sorted(pairs.items()):
        if len(found) < 2:
            continue
        first, second = found[old], found[new]
        line = [problem, f"{first.psnr:.2f}", f"{second.psnr:.2f}", f"{second.psnr - first.psnr:+.2f}",
                f"{first.ssim:.3f}", f"{second.ssim:.3f}", str(first.iterations), str(second.iterations)]
        for world, times in steps.items():
            before, after = first.iterations * times[old], second.iterations * times[new]
            ratios[world].append(before / after)
            line.append(f"{before:.0f} / {after:.0f} = {before / after:.1f}")
        lines.append(line)
    header = ["picture and damage", "old, dB", "new, dB", "difference", "SSIM old", "new", "iterations old", "new",
              *(f"seconds old / new, {world}" for world in steps)]
    medians = ", ".join(f"{median(values):.1f} times fewer seconds ({world})" for world, values in ratios.items())
    return as_markdown(header, lines) + (f"\nMedian: {medians}.\n" if medians else "")


def by_setting(tries: Iterable[Try]) -> dict[str, list[Try]]:
    """The tries of each setting, in the order of the first."""
    found = defaultdict(list)
    for each in tries:
        found[each.setting].append(each)
    return dict(found)


def frontier_figure(tries: Sequence[Try], steps: Mapping[str, float], named: Mapping[str, str]) -> Figure:
    """PSNR of the average against the seconds of the fit, the mean over the problems that all settings share.

    Args:
        steps: {setting: seconds of a step}.
        named: {setting: what the legend calls it}; the others are thin and grey.

    Raises:
        ValueError: no setting was timed, or there is no problem that all of these share.
    """
    settings = {setting: mine for setting, mine in by_setting(tries).items() if setting in steps}
    shared = set.intersection(*({each.problem for each in mine} for mine in settings.values())) if settings else set()
    if not shared:
        raise ValueError("no problem was fitted with all settings that were timed: measure again with --time")
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axis = figure.subplots()
    for setting, mine in settings.items():
        curves = [dict(each.curve) for each in mine if each.problem in shared]
        common = sorted(set.intersection(*(set(curve) for curve in curves)))
        means = [fmean(curve[iteration] for curve in curves) for iteration in common]
        look = {"lw": 2, "label": named[setting]} if setting in named else {"lw": 0.7, "color": "0.7"}
        axis.plot([iteration * steps[setting] for iteration in common], means, **look)
    axis.set(xlabel="seconds", ylabel="PSNR of the average, dB", xscale="log", ylim=(26, None), xlim=(3, None))
    axis.grid(alpha=0.3, which="both")
    axis.legend(frameon=False, loc="lower right")
    return figure
