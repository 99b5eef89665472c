"""Steady clips along the motion."""

import logging
from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.flow import backward_flows, warp
from dip_lab.images import IN_MEMORY, frames_buffer
from dip_lab.regularizers.regularizer import Regularizer
from dip_lab.regularizers.temporal import needs_a_clip

log = logging.getLogger(__name__)


class Flow(Regularizer):
    """weight * mean |x_{t+1} - warp(x_t)| over the consecutive frames of a batch, where both show the same.

    The optical flow comes from the observation at the image's size, once, before the first iteration; what was hidden
    or has left the frame does not count. As the temporal loss of https://arxiv.org/abs/1604.08610, with L1. A MEAN over
    pairs, channels and the pixels that count.

    Args:
        weight: at least 0.

    Attributes:
        flows: (T - 1, 2, H, W) float32 in px, of frame t + 1 to frame t; those of a long clip stay in a file.
        seen: (T - 1, 1, H, W) bool, true where a pixel of frame t + 1 is seen in frame t.

    Raises:
        ValueError: `weight` is negative or no number; `setup`: the problem is a single picture.
    """

    def __init__(self, weight: float) -> None:
        self.weight = number("regularizer.flow.weight", weight, 0)

    def setup(self, problem: Any, seed: int) -> None:
        """Estimate the flow of all pairs: about a second a pair of 256 x 256 px."""
        needs_a_clip("flow", problem)
        self.problem = problem
        observed = problem.observed()
        pairs, _, height, width = len(observed) - 1, *observed.shape[1:]
        log.info("estimating the optical flow of %d pairs of frames", pairs)
        self.flows = frames_buffer(pairs, 2, height, width)
        self.seen = torch.empty(pairs, 1, height, width, dtype=torch.bool)
        for t, (back, seen) in enumerate(backward_flows(observed, _known(problem, observed))):
            self.flows[t], self.seen[t] = back[0], seen[0] > 0

    def __call__(self, image: Tensor) -> Tensor:
        """The frames `problem.frames`, (B, C, H, W) -> 0-d float32; 0 for one, and where nothing counts."""
        if len(image) < 2:
            return torch.zeros((), device=image.device)
        if self.flows.device != image.device and 4 * self.flows.numel() <= IN_MEMORY:
            self.flows, self.seen = self.flows.to(image.device), self.seen.to(image.device)
        start, stop, _ = self.problem.frames.indices(len(self.flows) + 1)
        pairs = slice(start, stop - 1)
        back, seen = (x[pairs].to(image.device, non_blocking=True) for x in (self.flows, self.seen))
        image = image.float()
        change = (image[1:] - warp(image[:-1], back)).abs() * seen
        return self.weight * change.sum() / (seen.sum() * image.shape[1]).clamp(min=1)


def _known(problem: Any, observed: Tensor) -> Tensor | None:
    """Where the frames were measured, if the operator's mask is one of the image's pixels."""
    known = problem.operator.known
    return known if known is not None and known.shape[-2:] == observed.shape[-2:] else None
