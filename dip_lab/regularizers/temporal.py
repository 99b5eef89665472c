"""A penalty on flicker in a clip that ignores motion."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.frames import ALL
from dip_lab.regularizers.regularizer import Regularizer


def needs_a_clip(name: str, problem: Any) -> None:
    """Refuse a single picture before the first iteration.

    Raises:
        ValueError: there are not two frames to compare.
    """
    if problem.image_shape[0] < 2:
        raise ValueError(f"regularizer={name}: it compares frames of a clip that one network restores, but there is "
                         "one frame only: give data=video data.path=... video=shared, or leave the regularizer out")


class Temporal(Regularizer):
    """weight * mean |x_{t+1} - x_t| over the consecutive frames of a batch.

    It is a MEAN over pairs, channels and pixels, unlike the sums of total variation and edges, so the same weight suits
    a clip of any size. L1 lets a few pixels change a lot, such as those at the edge of a moving object.

    Args:
        weight: at least 0.

    Raises:
        ValueError: `weight` is negative or not a number; in `setup`, the problem is a single picture.
    """

    of_clips = True

    def __init__(self, weight: float) -> None:
        self.weight = number("regularizer.temporal.weight", weight, 0)

    def setup(self, problem: Any, seed: int) -> None:
        needs_a_clip("temporal", problem)

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor:
        """Consecutive frames (B, C, H, W) -> 0-d float32; 0 for a single frame."""
        if len(image) < 2:
            return torch.zeros((), device=image.device)
        image = image.float()
        return self.weight * (image[1:] - image[:-1]).abs().mean()
