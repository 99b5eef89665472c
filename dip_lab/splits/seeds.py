"""Several fits of one problem that differ in their seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dip_lab.checks import integer
from dip_lab.results.conclude import scored
from dip_lab.results.restoration import Restoration
from dip_lab.splits.split import Piece

OF_A_MEMBER = ("seed", "psnr", "psnr_8bit", "chosen_iteration", "iterations", "seconds", "status")


@dataclass(frozen=True)
class Member(Piece):
    """A fit with another seed, in its own folder, such as `seed1`, inside the run's."""

    def store(self, member: Restoration) -> Restoration:
        """Write all files of a run."""
        if self.cell.folder:
            member.save(self.cell.folder)
        return member


@dataclass(frozen=True)
class Seeds:
    """`count` fits with the seeds s, s + 1, ...: the answer is their mean.

    Raises:
        ValueError: `count` is below 1.
    """

    count: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", integer("splits.seeds.count", self.count, 1))

    def divides(self, piece: Piece) -> bool:
        return self.count > 1

    def pieces(self, piece: Piece) -> Iterator[Piece]:
        """The first piece is the run's own, and the one that the trackers see."""
        yield Piece(piece.problem, piece.cell, piece.mode, piece.tracked)  # not a part that would be stored as it is
        for seed in range(piece.cell.seed + 1, piece.cell.seed + self.count):
            yield Member(piece.problem, piece.cell.inside(f"seed{seed}", seed), piece.mode, False)

    def join(self, piece: Piece, members: Sequence[Restoration]) -> Restoration:
        """Their mean, and how uncertain it is; the curves are those of the first."""
        first, last = members[0], members[-1].summary
        images = torch.stack([member.image for member in members])
        image, deviation = images.mean(0), spread(images, members)
        summary = replace(
            first.summary,
            **scored(piece.problem, image, deviation),
            members=[{key: member.summary[key] for key in OF_A_MEMBER} for member in members],
            status=last.status, error=last.error, stop_reason=last.stop_reason,
            seconds=round(sum(member.summary.seconds for member in members), 3),
        )
        psnr, pictures = summary.scores.get("psnr"), first.pictures
        if psnr is not None:
            peaks = [psnr, *(peak for peak in (first.summary.psnr_peak,) if peak is not None)]  # none in a failed fit
            summary = replace(summary, psnr_peak=max(peaks))
        if deviation is not None:
            pictures = {**pictures, "uncertainty": deviation}
        return replace(first, image=image, summary=summary, pictures=pictures)


def spread(images: Tensor, members: Sequence[Restoration]) -> Tensor | None:
    """The standard deviation of each value: that between the members' images (M, N, C, H, W) and, where each of them is
    itself the mean of samples, that within them, whose variances add up. None for a single member without samples.

    It is the deviation of one member. That of their mean would be smaller by the root of their number if their errors
    were independent, which they are not: all of them saw the same noise.
    """
    within = [member.pictures["uncertainty"].square() for member in members if "uncertainty" in member.pictures]
    variances = [torch.stack(within).mean(0)] if len(within) == len(members) else []
    if len(members) > 1:
        variances.append(images.var(0))
    return sum(variances).sqrt() if variances else None
