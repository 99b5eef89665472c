"""Fourier features of the pixel coordinates as latent."""

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.latents.latent import Latent
from dip_lab.latents.meshgrid import meshgrid


class Fourier(Latent):
    """cos(f x), cos(f y), sin(f x), sin(f y) with f log-spaced from 1 to `highest` radians per picture, x, y in [0, 1].

    PIP, https://arxiv.org/abs/2211.14298, has 8 frequencies up to 256 radians, which is 32 channels, and no jitter.

    Args:
        frequencies: their number; z has 4 channels for each.
        highest: the highest frequency; about 3 times the picture's side in px resolves single pixels.
        jitter: standard deviation of the noise added at each iteration.

    Raises:
        ValueError: `frequencies` or `highest` is below 1, or `jitter` is negative.

    >>> latent = Fourier(frequencies=2, highest=4, jitter=0)
    >>> latent.prepare(height=3, width=5, seed=0)
    >>> latent(None).shape, latent(None)[0, :4, 0, 0].tolist()
    (torch.Size([1, 8, 3, 5]), [1.0, 1.0, 1.0, 1.0])
    """

    def __init__(self, frequencies: int, highest: float, jitter: float) -> None:
        frequencies = integer("latent.frequencies", frequencies, 1)
        super().__init__(depth=4 * frequencies, jitter=jitter)
        self.frequencies = torch.logspace(0, 1, frequencies, number("latent.highest", highest, 1))

    def _fixed(self, height: int, width: int, seed: int) -> Tensor:
        angles = self.frequencies[:, None, None, None] * meshgrid(height, width)  # (frequencies, 2, H, W)
        return torch.cat((angles.cos().flatten(0, 1), angles.sin().flatten(0, 1)))[None]
