"""ConvDecoder, https://arxiv.org/abs/2007.02471: a decoder of 3x3 convolutions."""

import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, NORMS, PADDINGS, UPSAMPLINGS, ToImage
from dip_lab.nets.convolution import Conv


class ConvDecoder(nn.Module):
    """Layers of upsampling, 3x3 convolution, activation, norm; the last layer does not enlarge.

    All other layers enlarge the sides by the same factor, which need not be whole, until they are `upscale` times
    those of the latent.

    Raises:
        ValueError: a value is out of its range.

    >>> import torch
    >>> ConvDecoder(4, 3, 8, 3, 8, "nearest", "batch", "relu", "zero")(torch.zeros(1, 4, 2, 3)).shape
    torch.Size([1, 3, 16, 24])
    """

    latents = ("coarse",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        layers: int,
        upscale: int,
        upsample: str,
        norm: str,
        activation: str,
        padding: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        layers = integer("net.layers", layers, 2)
        self.upscale = integer("net.upscale", upscale, 2)
        self.upsample = nn.Upsample(mode=one_of("net.upsample", upsample, UPSAMPLINGS))
        norm = one_of("net.norm", norm, NORMS)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        padding = one_of("net.padding", padding, PADDINGS)
        self.stride = self.upscale
        self.min_size = 2 * self.stride  # reflection by 1 px and norms need 2
        self.layers = nn.ModuleList(
            nn.Sequential(Conv(inputs, width, 3, padding), ACTIVATIONS[activation](), NORMS[norm](width))
            for inputs in [in_channels] + [width] * (layers - 1)
        )
        self.head = Conv(width, out_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        """(N, in_channels, h, w) to (N, out_channels, upscale h, upscale w)."""
        x, growing = z, len(self.layers) - 1
        for i, layer in enumerate(self.layers, 1):
            if i <= growing:
                scale = self.upscale ** (i / growing)
                size = [round(side * scale) for side in z.shape[2:]]
                x = F.interpolate(x, size, mode=self.upsample.mode, align_corners=self.upsample.align_corners)
            x = layer(x)
        return self.to_image(self.head(x))
