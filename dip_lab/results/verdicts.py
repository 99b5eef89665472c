"""What each stopping rule of a fit would have answered: the rows of stopping.csv."""

import csv
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from dip_lab import plain

if TYPE_CHECKING:
    from dip_lab.stopping.rule import StoppingRule  # imports torch, which the tables of a sweep do without

STOPPING_CSV = "stopping.csv"  # in a run's folder


@dataclass(frozen=True)
class Verdict:
    """One rule's choice; None where there is no target, or where the rule never stopped.

    Attributes:
        obeyed: this rule ended the fit; the others watched.
        chosen_iteration: the iteration whose image is its answer.
        stopped_iteration: the iteration at which it decided to stop.
        psnr: of its answer (the average where there is one), in dB.
        gap: dB below the peak of the run.
        saved: how many iterations of the run's limit are saved by obeying it.
    """

    rule: str
    obeyed: bool
    chosen_iteration: int
    stopped_iteration: int | None
    psnr: float | None
    gap: float | None
    saved: int


def verdicts(rules: Mapping[str, "StoppingRule"], scores: Mapping[str, float | None], iterations: int,
             peak: float | None) -> list[Verdict]:
    """One for each rule, the obeyed one first; `iterations` is the most that the run could have taken."""
    rows = []
    for number, (name, rule) in enumerate(rules.items()):
        psnr, stopped = scores[name], rule.stopped_iteration
        gap = None if psnr is None or peak is None else peak - psnr
        saved = 0 if stopped is None else iterations - stopped
        rows.append(Verdict(name, number == 0, rule.chosen_iteration, stopped, psnr, gap, saved))
    return rows


def as_csv(rows: list[Verdict]) -> str:
    """Numbers in full, empty fields for what is not known."""
    return plain.as_csv([[field.name for field in fields(Verdict)], *(astuple(row) for row in rows)])


def read_verdicts(path: Path) -> list[Verdict]:
    """The rows of a stopping.csv; a line that is no row is left out, and all where the file cannot be read."""
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8", errors="replace").splitlines()))
    except (OSError, csv.Error):
        return []
    return [verdict for row in rows if (verdict := _verdict(row))]


def _verdict(row: list[str]) -> Verdict | None:
    """None for the heading, and for a line that was damaged."""
    try:
        rule, obeyed, chosen, stopped, psnr, gap, saved = row
        scores = [float(score) if score else None for score in (psnr, gap)]
        verdict = Verdict(rule, obeyed == "True", int(chosen), int(stopped) if stopped else None, *scores, int(saved))
    except ValueError:
        return None
    return verdict if all(score is None or math.isfinite(score) for score in scores) else None
