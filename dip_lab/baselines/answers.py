"""The answer of a baseline as a part of a fit: what it makes of each frame, and where it matters."""

from collections.abc import Callable

import torch
from torch import Tensor

from dip_lab.problem import Problem

Baseline = Callable[[Problem], Tensor]


def check_baseline(baseline: object, key: str) -> Baseline:
    """The baseline itself.

    Raises:
        ValueError: there is none.
    """
    if not callable(baseline):
        raise ValueError(f"{key} names no baseline: give baseline@{key}=patchmatch, or another option of "
                         "configs/baseline but none")
    return baseline


@torch.no_grad()
def answer_of(baseline: Baseline, problem: Problem, key: str) -> tuple[Tensor, Tensor]:
    """What a baseline makes of each frame of a problem; it sees neither the target nor what is held out.

    Args:
        baseline: Problem -> image (1, C, H, W).
        problem: of N frames.
        key: where the config names the baseline, for error messages.

    Returns:
        The answers, (N, C, H, W) float32 in [0, 1]; and 1 where they are wanted, 0 elsewhere, of the same shape: in the
        holes or, where the task has none, everywhere.

    Raises:
        ValueError: the baseline does not suit the task.
    """
    answers, wanted = [], []
    for frame in range(len(problem.observation)):
        part = problem.part(slice(frame, frame + 1))
        part.target, part.observation = None, part.seen()
        try:
            answers.append(baseline(part).float())
        except ValueError as error:
            raise ValueError(f"{error}; {key} is the baseline meant: choose another by baseline@{key}=...") from error
        hole = getattr(part.operator, "hole", None)
        wanted.append(torch.ones_like(answers[-1]) if hole is None else hole.expand_as(answers[-1]))
    return torch.cat(answers), torch.cat(wanted).contiguous()
