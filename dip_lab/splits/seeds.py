"""Several fits of one problem that differ in their seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from dip_lab.checks import integer
from dip_lab.results.conclude import scored, uncertainty
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
        """Their mean, and how much they differ; the curves are those of the first."""
        first, last = members[0], members[-1].summary
        images = torch.stack([member.image for member in members])
        image = images.mean(0)
        summary = replace(
            first.summary,
            **scored(piece.problem, image),
            members=[{key: member.summary[key] for key in OF_A_MEMBER} for member in members],
            status=last.status, error=last.error, stop_reason=last.stop_reason,
            seconds=round(sum(member.summary.seconds for member in members), 3),
        )
        psnr, pictures = summary.scores.get("psnr"), first.pictures
        if psnr is not None:
            peaks = [psnr, *(peak for peak in (first.summary.psnr_peak,) if peak is not None)]  # none in a failed fit
            summary = replace(summary, psnr_peak=max(peaks))
        if len(members) > 1:
            deviation = images.std(0)
            pictures = {**pictures, "uncertainty": deviation}
            summary = replace(summary, **uncertainty(deviation))
        return replace(first, image=image, summary=summary, pictures=pictures)
