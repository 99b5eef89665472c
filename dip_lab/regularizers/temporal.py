"""Steady clips, without motion."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.regularizers.regularizer import Regularizer


def needs_a_clip(name: str, problem: Any) -> None:
    """Refuse a single picture before the first iteration.

    Raises:
        ValueError: there are no two frames to compare.
    """
    if problem.image_shape[0] < 2:
        raise ValueError(f"regularizer={name}: it compares the frames of a clip that one network restores, and here is "
                         "one frame: give data=video data.path=... video=shared, or leave the regularizer out")


class Temporal(Regularizer):
    """weight * mean |x_{t+1} - x_t| over the consecutive frames of a batch.

    A MEAN over pairs, channels and pixels, unlike the sums of total variation and edges: it takes the same weight for a
    clip of any size. L1 lets a few pixels change much, as at the edge of what moves.

    Args:
        weight: at least 0.

    Raises:
        ValueError: `weight` is negative or no number; `setup`: the problem is a single picture.
    """

    def __init__(self, weight: float) -> None:
        self.weight = number("regularizer.temporal.weight", weight, 0)

    def setup(self, problem: Any, seed: int) -> None:
        needs_a_clip("temporal", problem)

    def __call__(self, image: Tensor) -> Tensor:
        """Consecutive frames (B, C, H, W) -> 0-d float32; 0 for one."""
        if len(image) < 2:
            return torch.zeros((), device=image.device)
        image = image.float()
        return self.weight * (image[1:] - image[:-1]).abs().mean()
