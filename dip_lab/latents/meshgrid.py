"""Coordinates as the latent, which favour smooth, large-scale content."""

import torch
from torch import Tensor

from dip_lab.latents.latent import Latent


class Meshgrid(Latent):
    """Two channels, x / (W - 1) and y / (H - 1), each from 0 to 1: the published choice for large holes.

    Deep Image Prior, https://arxiv.org/abs/1711.10925

    >>> grid = Meshgrid(jitter=0)
    >>> grid.prepare(height=2, width=3, seed=0)
    >>> grid(None)[0, 0].tolist()
    [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]]

    Args:
        jitter: standard deviation of the noise added at each iteration.
    """

    kind = "coordinates"

    def __init__(self, jitter: float) -> None:
        super().__init__(depth=2, jitter=jitter)

    def _fixed(self, height: int, width: int, seed: int) -> Tensor:
        return meshgrid(height, width)[None]


def meshgrid(height: int, width: int) -> Tensor:
    """x and y of each pixel, from 0 to 1: (2, height, width) float32."""
    x = torch.linspace(0, 1, width).expand(height, width)
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    return torch.stack([x, y])
