"""Noise added to the weights."""

import torch
from torch import nn

from dip_lab.checks import number
from dip_lab.randomness import generator_of


class WeightNoise:
    """After each step, add N(0, (scale * std(w))^2) to every weight tensor of two or more dimensions.

    The published large-hole restoration ("library", https://arxiv.org/abs/1711.10925) means to do this with a scale
    of 1/50, but its code adds the noise to a copy, without effect, as with a scale of 0.

    Raises:
        ValueError: `scale` is not a number of at least 0.
    """

    def __init__(self, scale: float, seed: int):
        self.scale = number("descent.weight_noise", scale, 0)
        self.seed = seed

    @torch.no_grad()
    def __call__(self, net: nn.Module, iteration: int) -> None:
        """The noise of an iteration is a function of (seed, iteration) and the kind of device."""
        if self.scale == 0:
            return
        weights = [weight for weight in net.parameters() if weight.ndim > 1 and weight.requires_grad]
        if not weights:  # none moves yet
            return
        generator = generator_of(self.seed, "weight_noise", iteration, weights[0].device)
        for weight in weights:
            noise = torch.empty(weight.shape, device=weight.device).normal_(generator=generator)
            weight.addcmul_(noise, weight.std(), value=self.scale)
