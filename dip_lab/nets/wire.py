"""WIRE, https://arxiv.org/abs/2301.05187: a coordinate network with complex Gabor wavelets as activations."""

import math

import torch
from torch import Tensor, nn

from dip_lab.checks import integer, number
from dip_lab.nets.blocks import ToImage
from dip_lab.nets.coordinates import FirstLayer


class Wire(nn.Module):
    """Pixel coordinates -> exp(i omega x - |sigma x|^2), several times -> the real part as colour.

    A complex map of `width` channels is stored as 2 `width` real channels, real parts first, so that precision,
    memory format and optimiser work as for any other network.

    Args:
        layers: hidden complex layers after the first one.
        omega: frequency of the wavelets; 4 to 5 to denoise, 20 to represent a picture.
        sigma: 1 / width of the wavelets; 4 to 5 to denoise, 30 to represent a picture.

    Raises:
        ValueError: a value is out of its range.

    >>> Wire(2, 3, 8, 1, 5, 5)(torch.zeros(1, 2, 5, 7)).shape
    torch.Size([1, 3, 5, 7])
    """

    stride = min_size = 1
    latents = ("coordinates",)

    def __init__(self, in_channels: int, out_channels: int, width: int, layers: int, omega: float, sigma: float):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        self.omega = number("net.omega", omega, 0, above=True)
        self.sigma = number("net.sigma", sigma, 0, above=True)
        self.first = FirstLayer(in_channels, width)
        self.hidden = nn.ModuleList(Complex(width, width) for _ in range(integer("net.layers", layers, 0)))
        self.head = Complex(width, out_channels)

    def forward(self, z: Tensor) -> Tensor:
        """Coordinates (N, in_channels, H, W) in [0, 1]; they are mapped here to [-1, 1], the published range."""
        real = self.first(2 * z - 1)
        x = self.gabor(real, torch.zeros_like(real))
        for layer in self.hidden:
            x = self.gabor(*layer(x).chunk(2, 1))
        real, _ = self.head(x).chunk(2, 1)
        return self.to_image(real)

    def gabor(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """exp(i omega z - |sigma z|^2) of z = real + i imaginary: real parts, then imaginary ones."""
        size = torch.exp(-self.omega * imaginary - self.sigma**2 * (real.square() + imaginary.square()))
        angle = self.omega * real
        return torch.cat((size * angle.cos(), size * angle.sin()), 1)


class Complex(nn.Module):
    """A complex linear map of each pixel, with weights drawn as torch draws those of a complex `nn.Linear`."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        bound = 1 / math.sqrt(in_channels)
        self.real = nn.Parameter(torch.empty(out_channels, in_channels, 1, 1).uniform_(-bound, bound))
        self.imaginary = nn.Parameter(torch.empty(out_channels, in_channels, 1, 1).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(2 * out_channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.cat(
            (torch.cat((self.real, -self.imaginary), 1), torch.cat((self.imaginary, self.real), 1))
        )
        return nn.functional.conv2d(x, weight, self.bias)
