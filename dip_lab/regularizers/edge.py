"""A penalty on edges."""

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.frames import ALL
from dip_lab.regularizers.regularizer import Regularizer
from dip_lab.regularizers.tv import EPSILON

SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))  # gives 8 for a slope of 1 per pixel


class Edge(Regularizer):
    """weight * sum over pixels and channels of sqrt(gx^2 + gy^2), g being the 3 x 3 Sobel gradient / 8.

    Total variation with a smoother stencil: a straight edge costs the same, noise in single pixels costs less, and the
    cost depends less on direction. As in DIP-TV, https://arxiv.org/abs/1810.12864, a SUM is added to a mean misfit.

    Args:
        weight: at least 0.

    Raises:
        ValueError: `weight` is negative or not a number.
    """

    def __init__(self, weight: float) -> None:
        self.weight = number("regularizer.edge.weight", weight, 0)
        along_x = torch.tensor(SOBEL) / 8
        self._stencils = torch.stack((along_x, along_x.T))[:, None]

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor:
        """Image (1, C, H, W) -> 0-d float32, without the outermost pixels, whose stencil is incomplete."""
        if self._stencils.device != image.device:
            self._stencils = self._stencils.to(image.device)
        gradient = torch.nn.functional.conv2d(image.float().transpose(0, 1), self._stencils)  # (C, 2, H - 2, W - 2)
        return self.weight * (gradient.square().sum(1) + EPSILON).sqrt().sum()
