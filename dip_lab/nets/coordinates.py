"""Parts of the coordinate networks, which map each pixel on its own: a first layer in float32, uniform weights."""

import torch
from torch import Tensor, nn


class FirstLayer(nn.Conv2d):
    """1x1 convolution of the coordinates in float32 or wider, under autocast too.

    Its output is multiplied by 30 or more before a sine. In bfloat16, which has 8 significant bits, neighbouring
    columns of a picture wider than about 100 px would get equal coordinates.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))


def uniform_(layer: nn.Conv2d, bound: float) -> None:
    """Draw the weights from U(-bound, bound)."""
    nn.init.uniform_(layer.weight, -bound, bound)
