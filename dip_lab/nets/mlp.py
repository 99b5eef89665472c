"""A coordinate network on Fourier features, https://arxiv.org/abs/2006.10739."""

import math

import torch
from torch import Tensor, nn

from dip_lab.checks import integer, number, one_of
from dip_lab.nets.blocks import ACTIVATIONS, ToImage
from dip_lab.nets.convolution import Conv
from dip_lab.nets.coordinates import FirstLayer


class MLP(nn.Module):
    """Pixel coordinates -> cos and sin of random frequencies -> hidden layers -> colour, each pixel on its own.

    The frequencies are drawn from N(0, scale^2) cycles per picture, and are not fitted. A small `scale` gives smooth
    pictures, a large one fits noise.

    Raises:
        ValueError: a value is out of its range.

    >>> MLP(2, 3, 8, 1, 16, 10, "relu")(torch.zeros(1, 2, 5, 7)).shape
    torch.Size([1, 3, 5, 7])
    """

    stride = min_size = 1
    latents = ("coordinates",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        layers: int,
        frequencies: int,
        scale: float,
        activation: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        frequencies = integer("net.frequencies", frequencies, 1)
        scale = number("net.scale", scale, 0, above=True)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        self.features = FirstLayer(in_channels, frequencies, bias=False)
        nn.init.normal_(self.features.weight, std=2 * math.pi * scale)
        # A buffer, not a parameter: neither initialisation nor optimiser nor weight decay may change it.
        weight = self.features.weight.detach()
        del self.features.weight
        self.features.register_buffer("weight", weight)
        inputs = [2 * frequencies] + [width] * (integer("net.layers", layers, 1) - 1)
        self.hidden = nn.Sequential(
            *(part for i in inputs for part in (Conv(i, width, 1), ACTIVATIONS[activation]()))
        )
        self.head = Conv(width, out_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Coordinates (N, in_channels, H, W) in [0, 1]."""
        angles = self.features(z)
        return self.to_image(self.head(self.hidden(torch.cat((angles.cos(), angles.sin()), 1))))
