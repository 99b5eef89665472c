"""SIREN, https://arxiv.org/abs/2006.09661: a coordinate network with sine activations."""

import math

import torch
from torch import Tensor, nn

from dip_lab.checks import integer, number
from dip_lab.nets.blocks import ToImage
from dip_lab.nets.convolution import Conv
from dip_lab.nets.coordinates import FirstLayer, uniform_


class Siren(nn.Module):
    """Pixel coordinates -> sin(omega (W x + b)), several times -> colour, each pixel on its own.

    Args:
        layers: hidden layers after the first one.
        omega: frequency of the sines; that of the first layer sets the finest detail that is easy to fit.

    Raises:
        ValueError: a value is out of its range.

    >>> Siren(2, 3, 8, 1, 30, 30)(torch.zeros(1, 2, 5, 7)).shape
    torch.Size([1, 3, 5, 7])
    """

    stride = min_size = 1
    latents = ("coordinates",)

    def __init__(
        self, in_channels: int, out_channels: int, width: int, layers: int, first_omega: float, omega: float
    ):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        self.first_omega = number("net.first_omega", first_omega, 0, above=True)
        self.omega = number("net.omega", omega, 0, above=True)
        self.first = FirstLayer(in_channels, width)
        self.hidden = nn.ModuleList(Conv(width, width, 1) for _ in range(integer("net.layers", layers, 0)))
        self.head = Conv(width, out_channels, 1)
        uniform_(self.first, 1 / in_channels)
        for layer in (*self.hidden, self.head):
            uniform_(layer, math.sqrt(6 / width) / self.omega)

    def forward(self, z: Tensor) -> Tensor:
        """Coordinates (N, in_channels, H, W) in [0, 1]; they are mapped here to [-1, 1], the published range."""
        x = torch.sin(self.first_omega * self.first(2 * z - 1))
        for layer in self.hidden:
            x = torch.sin(self.omega * layer(x))
        return self.to_image(self.head(x))
