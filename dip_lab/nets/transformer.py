"""Layers that the transformer networks share."""

from torch import Tensor, nn

from dip_lab.nets.blocks import UPSAMPLINGS
from dip_lab.nets.convolution import Conv

ENLARGEMENTS = (*UPSAMPLINGS, "pixelshuffle")


class Block(nn.Module):
    """Attention, then a two-layer perceptron per pixel, each after a layer-norm and with a residual connection."""

    def __init__(self, attention: nn.Module, width: int, mlp_ratio: int):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.attention = attention
        self.mlp = nn.Sequential(
            Conv(width, mlp_ratio * width, 1), nn.GELU(), Conv(mlp_ratio * width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LayerNorm(nn.LayerNorm):
    """Layer norm over the channels of (N, C, H, W), for each pixel on its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def enlarge(in_channels: int, out_channels: int, factor: int, upsample: str) -> nn.Sequential:
    """A 1x1 convolution, then a map of `factor` times the size, by interpolation or by pixel shuffling."""
    if upsample == "pixelshuffle":
        return nn.Sequential(Conv(in_channels, factor**2 * out_channels, 1), nn.PixelShuffle(factor))
    return nn.Sequential(Conv(in_channels, out_channels, 1), nn.Upsample(scale_factor=factor, mode=upsample))
