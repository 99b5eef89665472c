"""A picture or clip cut into overlapping windows: what tiles, chunks and frames share."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from torch import Tensor

from dip_lab.problem import Problem
from dip_lab.results.conclude import about, scored
from dip_lab.results.history import History
from dip_lab.results.restoration import Restoration
from dip_lab.results.summary import Summary
from dip_lab.splits.split import Part, Piece
from dip_lab.splits.windows import Window, blended

OF_A_PART = ("psnr", "chosen_iteration", "iterations", "seconds", "status")


class Parts(ABC):
    """Windows of a problem, each fitted separately in its own folder, such as `parts/0000`, and blended."""

    @abstractmethod
    def windows(self, problem: Problem) -> list[Window]:
        """The windows, in the order in which they are fitted.

        Raises:
            ValueError: the problem cannot be cut like this.
        """

    def divides(self, piece: Piece) -> bool:
        return len(self.windows(piece.problem)) > 1

    def pieces(self, piece: Piece) -> Iterator[Piece]:
        windows = self.windows(piece.problem)
        for index, window in enumerate(windows):
            part = piece.problem.part(window.frames, window.rows, window.columns)
            yield Part(part, piece.cell.inside(f"parts/{index:04d}"), piece.mode, False,
                       f"part {index + 1} of {len(windows)}")

    def join(self, piece: Piece, members: Sequence[Restoration]) -> Restoration:
        """The blended parts; where one is missing, the observation takes its place."""
        problem, windows = piece.problem, self.windows(piece.problem)
        missing = (problem.part(each.frames, each.rows, each.columns).observed() for each in windows[len(members):])
        images = itertools.chain((member.image for member in members), missing)
        deviations = [member.pictures["uncertainty"] for member in members if "uncertainty" in member.pictures]
        return whole(piece, members, blended(windows, images, problem.image_shape),
                     blended_deviation(windows, deviations, problem.image_shape))


def blended_deviation(windows: Sequence[Window], deviations: Sequence[Tensor],
                      shape: tuple[int, int, int, int]) -> Tensor | None:
    """The standard deviations of the blended image, blended like it; None unless every window has its own.

    Where windows overlap that is the most it can be: their errors are taken to be the same, since they saw the same
    noise there.
    """
    return blended(windows, deviations, shape) if len(deviations) == len(windows) else None


def whole(piece: Piece, members: Sequence[Restoration], image: Tensor, deviation: Tensor | None) -> Restoration:
    """The blended image, scored as a whole; the curves, in the run's `history.csv`, are the means of the parts'."""
    folder = piece.cell.folder
    history = History(members[0].history.columns, folder / "history.csv" if folder else None)
    history.rows = mean_rows([member.history.rows for member in members])
    if folder:
        history.write()
    uncertain = {} if deviation is None else {"uncertainty": deviation}
    return Restoration(image, _summary(piece, [member.summary for member in members], image, deviation), history,
                       {**piece.problem.pictures(), **uncertain}, [])


def _summary(piece: Piece, parts: Sequence[Summary], image: Tensor, deviation: Tensor | None) -> Summary:
    """The summary of the whole. Values of the parts that cannot be compared with it, such as peaks, are left out."""
    first, last = parts[0], parts[-1]
    taken, seconds = sum(part.iterations for part in parts), sum(part.seconds for part in parts)
    return replace(
        first,
        **about(piece.problem, piece.cell),
        **scored(piece.problem, image, deviation),
        output={}, average={},
        status=last.status, error=last.error, stop_reason=last.stop_reason,
        parts=[{key: part[key] for key in OF_A_PART} for part in parts],
        iterations=max(part.iterations for part in parts),
        chosen_iteration=round(fmean(part.chosen_iteration for part in parts)),
        psnr_held_out=None, psnr_last=None, psnr_peak=None, peak_iteration=None,
        members=None,
        guard_events=[event for part in parts for event in part.guard_events],
        seconds=round(seconds, 3),
        seconds_per_iteration=round(seconds / max(taken, 1), 5),
        peak_memory_mb=max(part.peak_memory_mb for part in parts),
    )


def mean_rows(histories: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The mean of each column over the parts, for the iterations that all of them have; seconds are added up."""
    by_iteration: dict[float, list[Mapping[str, Any]]] = {}
    for rows in histories:
        for row in rows:
            by_iteration.setdefault(row["iteration"], []).append(row)
    means = []
    for iteration, rows in sorted(by_iteration.items()):
        if len(rows) == len(histories):  # later rows come only from the parts that took longest
            means.append({"iteration": iteration} | {
                key: (math.fsum if key == "seconds" else fmean)(row[key] for row in rows)
                for key in rows[0] if key != "iteration"})
    return means
