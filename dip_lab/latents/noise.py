"""Random latent: the published default."""

import torch
from torch import Tensor

from dip_lab.checks import integer, number, one_of
from dip_lab.latents.latent import Latent
from dip_lab.randomness import generator_of

LAWS = {"uniform": torch.rand, "normal": torch.randn}


class Noise(Latent):
    """z = scale * U[0, 1) or scale * N(0, 1), drawn once. Deep Image Prior, https://arxiv.org/abs/1711.10925

    Args:
        law: "uniform" or "normal".
        scale: what the draw is multiplied by; published 0.1.
        depth: channels.
        jitter: standard deviation of the noise added at each iteration.
        ramp: iterations in which the jitter grows from 0 to that; 0: it is full from the start, as published.

    Raises:
        ValueError: `law` is unknown, `scale` is not positive, `depth` is below 1, or `jitter` or `ramp` is negative.
    """

    def __init__(self, law: str, scale: float, depth: int, jitter: float, ramp: int = 0) -> None:
        super().__init__(depth, jitter)
        self.ramp = integer("latent.ramp", ramp, 0)
        self.law = one_of("latent.law", law, LAWS)
        self.scale = number("latent.scale", scale, 0, above=True)

    def _fixed(self, height: int, width: int, seed: int) -> Tensor:
        draw = LAWS[self.law](1, self.depth, height, width, generator=generator_of(seed, "latent"))
        return self.scale * draw
