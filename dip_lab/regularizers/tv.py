"""Total variation."""

from torch import Tensor

from dip_lab.checks import number

EPSILON = 1e-12  # adds at most 1e-6 a pixel; without it the root's gradient is NaN where the image is flat


class TotalVariation:
    """weight * sum over pixels and channels of sqrt(dx^2 + dy^2): isotropic, a SUM, as published.

    The weight is therefore tiny beside a mean misfit: 1e-7 for the 256 x 160 picture of the prior-effect
    figure in Deep Image Prior, https://arxiv.org/abs/1711.10925. With a network it is DIP-TV,
    https://arxiv.org/abs/1810.12864

    Args:
        weight: at least 0.

    Raises:
        ValueError: `weight` is negative or no number.
    """

    def __init__(self, weight: float) -> None:
        self.weight = number("regularizer.weight", weight, 0)

    def __call__(self, image: Tensor) -> Tensor:
        """Image (1, C, H, W) -> 0-d float32; the last row and column have no forward difference: left out."""
        image = image.float()
        corner = image[..., :-1, :-1]
        dx = image[..., :-1, 1:] - corner
        dy = image[..., 1:, :-1] - corner
        return self.weight * (dx.square() + dy.square() + EPSILON).sqrt().sum()
