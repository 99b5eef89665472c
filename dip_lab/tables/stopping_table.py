"""All stopping rules over the cells of a sweep, from their files alone: how far each is from the peak. No torch."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from dip_lab.results.verdicts import STOPPING_CSV, read_verdicts
from dip_lab.runs.folder import read_result
from dip_lab.tables.grid import Code, as_markdown

EARLY = 0.5  # a choice before this share of the peak's iteration is a false stop


@dataclass(frozen=True)
class Case:
    """One observation fitted with one network: the best PSNR of all its cells, and what each rule chose."""

    name: str
    peak: float
    peak_iteration: int
    choices: Mapping[str, tuple[float, int, bool]]  # rule -> (PSNR, chosen iteration, stopped)


def cases_of(group: Path) -> list[Case]:
    """The cases of a group's folder that have a target.

    Cells with the same observation, network and seed are one case, whatever rule they obey: a rule that changes the
    fit, such as holdout, is compared with the peak of the fit that it did not change. A rule that was obeyed in some
    cell counts as it did there; any other counts as it watched the longest fit.
    """
    cells = defaultdict(list)
    for path in sorted(group.glob(f"*/{STOPPING_CSV}")):
        result = read_result(path.parent)
        if result and None not in map(result.get, ("psnr_peak", "peak_iteration", "iterations")):
            cells[tuple(result.get(key) for key in ("picture", "observation", "net", "latent", "seed"))].append(
                (result, read_verdicts(path)))
    cases = []
    for (picture, *_), found in cells.items():
        choices = {}
        obeyed = {row.rule for _, rows in found for row in rows if row.obeyed}
        for _, rows in sorted(found, key=lambda cell: cell[0]["iterations"]):
            for row in rows:
                if row.psnr is not None and (row.obeyed or row.rule not in obeyed):
                    choices[row.rule] = row.psnr, row.chosen_iteration, row.stopped_iteration is not None
        best = max((result for result, _ in found), key=lambda result: result["psnr_peak"])
        name = f"{picture}, {found[0][0].get('noise')}"
        cases.append(Case(name, best["psnr_peak"], best["peak_iteration"], choices))
    return cases


def rules_table(cases: list[Case]) -> str:
    """Two tables: each rule's gaps in dB, false stops and never-stops; and each case's gaps."""
    rules = sorted({rule for case in cases for rule in case.choices}, key=lambda rule: fmean(gaps(cases, rule)))
    lines = []
    for rule in rules:
        mine = [(case, *case.choices[rule]) for case in cases if rule in case.choices]
        false = sum(chosen < EARLY * case.peak_iteration for case, _, chosen, _ in mine)
        never = sum(not stopped for *_, stopped in mine)
        mean, worst = fmean(gaps(cases, rule)), max(gaps(cases, rule))
        lines.append([Code(rule), f"{mean:.2f}", f"{worst:.2f}", str(false), str(never), str(len(mine))])
    text = as_markdown(["rule", "mean gap, dB", "worst gap, dB", "false stops", "never stopped", "cases"], lines)
    header, lines = ["picture and noise", "peak, dB", "at", *map(Code, rules)], []
    for case in cases:
        choices = [case.choices.get(rule) for rule in rules]
        shown = ["-" if c is None else f"-{case.peak - c[0]:.2f} at {c[1]}" for c in choices]
        lines.append([case.name, f"{case.peak:.2f}", str(case.peak_iteration), *shown])
    return (f"{text}\nA false stop is a choice before half the peak's iteration; gaps are to the peak, which needs "
            f"the target.\n\n{as_markdown(header, lines)}")


def gaps(cases: list[Case], rule: str) -> list[float]:
    """dB below the peak, for each case that has the rule."""
    return [case.peak - case.choices[rule][0] for case in cases if rule in case.choices]
