"""Total variation."""

from torch import Tensor

from dip_lab.checks import flag, number
from dip_lab.frames import ALL
from dip_lab.regularizers.regularizer import Regularizer

EPSILON = 1e-12  # adds at most 1e-6 per pixel; without it the root's gradient is NaN where the image is flat


class TotalVariation(Regularizer):
    """weight * sum over pixels and channels of sqrt(dx^2 + dy^2), or of |dx| + |dy|: a SUM, as published.

    The weight is therefore tiny when the misfit is a mean: 1e-7 for the 256 x 160 picture of the prior-effect
    figure in Deep Image Prior, https://arxiv.org/abs/1711.10925. With a network this is DIP-TV,
    https://arxiv.org/abs/1810.12864

    Args:
        weight: at least 0.
        isotropic: take the length of the gradient, which treats all directions alike; otherwise |dx| + |dy|.

    Raises:
        ValueError: `weight` is negative or not a number, or `isotropic` is not true or false.
    """

    def __init__(self, weight: float, isotropic: bool) -> None:
        self.weight = number("regularizer.tv.weight", weight, 0)
        self.isotropic = flag("regularizer.tv.isotropic", isotropic)

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor:
        """Image (1, C, H, W) -> 0-d float32, without the last row and column, which have no forward difference."""
        image = image.float()
        corner = image[..., :-1, :-1]
        dx = image[..., :-1, 1:] - corner
        dy = image[..., 1:, :-1] - corner
        if self.isotropic:
            return self.weight * (dx.square() + dy.square() + EPSILON).sqrt().sum()
        return self.weight * (dx.abs().sum() + dy.abs().sum())
