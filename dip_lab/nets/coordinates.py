"""What the coordinate networks share: a first layer in float32, then layers that act on each pixel alone."""

import torch
from torch import Tensor, nn


class FirstLayer(nn.Conv2d):
    """1x1 convolution of the coordinates in float32 or wider, under autocast too.

    Its output is multiplied by 30 or more before a sine: in bfloat16, which has 8 bits, pictures of more than some
    100 px would have columns of equal coordinates.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))


def uniform_(layer: nn.Conv2d, bound: float) -> None:
    """Draw the weights from U(-bound, bound)."""
    nn.init.uniform_(layer.weight, -bound, bound)
