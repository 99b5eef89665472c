"""Random latent: the published default."""

import math

import torch
from torch import Tensor

from dip_lab.checks import integer, number, one_of
from dip_lab.latents.latent import Latent, Pictured
from dip_lab.randomness import generator_of

LAWS = {"uniform": torch.rand, "normal": torch.randn}
STD, JITTER = 25 / 255, 1 / 30  # a noise's standard deviation and the published jitter for it
PER_DOUBLING = 1.5  # published: 1/20 for twice that noise
LOWEST, HIGHEST = 0.01, 0.1  # jitter


class Noise(Latent):
    """z = scale * U[0, 1) or scale * N(0, 1), drawn once. Deep Image Prior, https://arxiv.org/abs/1711.10925

    Args:
        law: "uniform" or "normal".
        scale: what the draw is multiplied by; published 0.1.
        depth: channels.
        jitter: standard deviation of the noise added at each iteration; "auto": by the noise that
            is estimated in the observation (`jitter_for`), but at least 1/30 for a given one.
        ramp: iterations in which the jitter grows from 0 to that; 0: it is full from the start, as published.

    Raises:
        ValueError: `law` is unknown, `scale` is not positive, `depth` is below 1, or `jitter` or `ramp` is negative.
    """

    def __init__(self, law: str, scale: float, depth: int, jitter: float | str, ramp: int = 0) -> None:
        self.follows_noise = jitter == "auto"
        super().__init__(depth, JITTER if self.follows_noise else jitter)
        self.ramp = integer("latent.ramp", ramp, 0)
        self.law = one_of("latent.law", law, LAWS)
        self.scale = number("latent.scale", scale, 0, above=True)

    def setup(self, problem: Pictured) -> None:
        if self.follows_noise and (std := problem.noise_std()) is not None:
            # Neighbouring pixels share a camera's noise, and a weak jitter does not keep that out.
            self.jitter = max(jitter_for(std), JITTER if problem.noise is None else LOWEST)

    def _fixed(self, height: int, width: int, seed: int) -> Tensor:
        draw = LAWS[self.law](1, self.depth, height, width, generator=generator_of(seed, "latent"))
        return self.scale * draw


def jitter_for(std: float) -> float:
    """The jitter for a noise of this standard deviation: half as much again for twice the noise, as published.

    >>> [round(jitter_for(sigma / 255), 4) for sigma in (0, 15, 25, 50, 100)]
    [0.01, 0.0247, 0.0333, 0.05, 0.075]
    """
    return min(max(JITTER * (std / STD) ** math.log2(PER_DOUBLING), LOWEST), HIGHEST)
