"""Total variation."""

from torch import Tensor

from dip_lab.checks import flag, number
from dip_lab.regularizers.regularizer import Regularizer

EPSILON = 1e-12  # adds at most 1e-6 a pixel; without it the root's gradient is NaN where the image is flat


class TotalVariation(Regularizer):
    """weight * sum over pixels and channels of sqrt(dx^2 + dy^2), or of |dx| + |dy|: a SUM, as published.

    The weight is therefore tiny beside a mean misfit: 1e-7 for the 256 x 160 picture of the prior-effect
    figure in Deep Image Prior, https://arxiv.org/abs/1711.10925. With a network it is DIP-TV,
    https://arxiv.org/abs/1810.12864

    Args:
        weight: at least 0.
        isotropic: the length of the gradient, which treats all directions alike; else the sum of its parts.

    Raises:
        ValueError: `weight` is negative or no number, `isotropic` not true or false.
    """

    def __init__(self, weight: float, isotropic: bool) -> None:
        self.weight = number("regularizer.tv.weight", weight, 0)
        self.isotropic = flag("regularizer.tv.isotropic", isotropic)

    def __call__(self, image: Tensor) -> Tensor:
        """Image (1, C, H, W) -> 0-d float32; the last row and column have no forward difference: left out."""
        image = image.float()
        corner = image[..., :-1, :-1]
        dx = image[..., :-1, 1:] - corner
        dy = image[..., 1:, :-1] - corner
        if self.isotropic:
            return self.weight * (dx.square() + dy.square() + EPSILON).sqrt().sum()
        return self.weight * (dx.abs().sum() + dy.abs().sum())
