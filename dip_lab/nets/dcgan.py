"""A small generator of pictures after DCGAN, https://arxiv.org/abs/1511.06434, fully convolutional."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer
from dip_lab.nets.blocks import ToImage
from dip_lab.nets.convolution import Conv


class DCGAN(nn.Module):
    """A coarse latent, enlarged four times by nearest neighbours, each time with a 3x3 convolution.

    Instead of batch norms, whose statistics would differ between a training and a fit of one picture, each pixel's
    features are scaled to a mean square of 1, as in https://arxiv.org/abs/1710.10196. The latent is scaled like that
    too, so only its direction counts. A larger latent makes a larger picture.

    Raises:
        ValueError: a value is out of its range.

    >>> import torch
    >>> DCGAN(6, 3, 4)(torch.randn(1, 6, 2, 3)).shape
    torch.Size([1, 3, 32, 48])
    """

    latents = ("coarse",)
    stride = upscale = 16
    min_size = 32  # reflection by 1 px needs 2

    def __init__(self, in_channels: int, out_channels: int, width: int):
        super().__init__()
        w = integer("net.width", width, 2)
        widths = [8 * w, 4 * w, 2 * w, w, w // 2]
        self.first = Conv(in_channels, widths[0], 3, "reflection")
        self.layers = nn.ModuleList(Conv(a, b, 3, "reflection") for a, b in zip(widths, widths[1:], strict=False))
        self.head = Conv(widths[-1], out_channels, 3, "reflection")
        self.to_image = ToImage()

    def forward(self, z: Tensor) -> Tensor:
        """(N, in_channels, h, w) to (N, out_channels, 16 h, 16 w)."""
        x = normed(F.leaky_relu(self.first(normed(z)), 0.2))
        for layer in self.layers:
            x = normed(F.leaky_relu(layer(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2))
        return self.to_image(self.head(x))


def normed(x: Tensor) -> Tensor:
    """(N, C, H, W) with a mean square of 1 over the channels of each pixel."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * (wide.square().mean(1, keepdim=True) + 1e-8).rsqrt()).to(x.dtype)
