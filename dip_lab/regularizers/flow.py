"""A penalty on flicker in a clip, measured along the motion."""

import logging
from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.flow import backward_flows, warp
from dip_lab.frames import ALL, IN_MEMORY, frames_buffer
from dip_lab.regularizers.regularizer import Regularizer
from dip_lab.regularizers.temporal import needs_a_clip

log = logging.getLogger(__name__)


class Flow(Regularizer):
    """weight * mean |x_{t+1} - warp(x_t)| over the consecutive frames of a batch, where both show the same thing.

    The optical flow is estimated once, before the first iteration, from the observation at the image's size. Pixels
    that were hidden or have left the frame do not count. As the temporal loss of https://arxiv.org/abs/1604.08610, but
    with L1. It is a MEAN over pairs, channels and the pixels that count.

    Args:
        weight: at least 0.

    Attributes:
        flows: (T - 1, 2, H, W) float32 in px, from frame t + 1 to frame t; for a long clip they stay in a file.
        seen: (T - 1, 1, H, W) bool, true where a pixel of frame t + 1 is seen in frame t.

    Raises:
        ValueError: `weight` is negative or not a number; in `setup`, the problem is a single picture.
    """

    of_clips = True

    def __init__(self, weight: float) -> None:
        self.weight = number("regularizer.flow.weight", weight, 0)

    def setup(self, problem: Any, seed: int) -> None:
        """Estimate the flow of all pairs, which takes about a second for a pair of 256 x 256 px."""
        needs_a_clip("flow", problem)
        self.problem = problem
        observed = problem.observed()
        pairs, _, height, width = len(observed) - 1, *observed.shape[1:]
        log.info("estimating the optical flow of %d pairs of frames", pairs)
        self.flows = frames_buffer(pairs, 2, height, width)
        self.seen = torch.empty(pairs, 1, height, width, dtype=torch.bool)
        for t, (back, seen) in enumerate(backward_flows(observed, _known(problem, observed))):
            self.flows[t], self.seen[t] = back[0], seen[0] > 0

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor:
        """The `frames` of the clip, (B, C, H, W) -> 0-d float32; 0 for a single one, or if no pixel counts."""
        if len(image) < 2:
            return torch.zeros((), device=image.device)
        if self.flows.device != image.device and 4 * self.flows.numel() <= IN_MEMORY:
            self.flows, self.seen = self.flows.to(image.device), self.seen.to(image.device)
        start, stop, _ = frames.indices(len(self.flows) + 1)
        pairs = slice(start, stop - 1)
        back, seen = (x[pairs].to(image.device, non_blocking=True) for x in (self.flows, self.seen))
        image = image.float()
        change = (image[1:] - warp(image[:-1], back)).abs() * seen
        return self.weight * change.sum() / (seen.sum() * image.shape[1]).clamp(min=1)


def _known(problem: Any, observed: Tensor) -> Tensor | None:
    """The mask of what was measured, if the operator has one of the image's size; otherwise None."""
    known = problem.operator.known
    return known if known is not None and known.shape[-2:] == observed.shape[-2:] else None
