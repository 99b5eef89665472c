"""Mean and standard deviation of the outputs of a sampler."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer
from dip_lab.trees import copy_into


class Posterior:
    """Mean and spread of every `every`-th output after the first `burn_in` iterations: samples of a posterior.

    A Bayesian Perspective on the Deep Image Prior, https://arxiv.org/abs/1904.07457. It is meant for an optimiser that
    samples (optimizer=sgld); with any other it is a plain average. By Welford's recurrence in float32, which allocates
    no more memory after the first output.

    Args:
        burn_in: iterations left out at the start, at least 0.
        every: iterations from one sample to the next, at least 1; samples close in time are alike.

    Attributes:
        image: the mean (1, C, H, W), updated in place; before the first sample the latest output, or None.
        samples: number of outputs in the mean.

    Raises:
        ValueError: `burn_in` is below 0, `every` is below 1, or one of them is not a whole number.
    """

    def __init__(self, burn_in: int, every: int) -> None:
        self.burn_in = integer("average.burn_in", burn_in, 0)
        self.every = integer("average.every", every, 1)
        self.samples = 0
        self.image: Tensor | None = None
        self._squares: Tensor | None = None  # sum of the squared deviations from the mean
        self._difference: Tensor | None = None  # of the latest sample from the mean

    @property
    def deviation(self) -> Tensor | None:
        """The standard deviation of the samples at each pixel, (1, C, H, W); None for fewer than two."""
        return None if self.samples < 2 else (self._squares / (self.samples - 1)).sqrt()

    @torch.no_grad()
    def update(self, output: Tensor, iteration: int, generator: Any = None) -> None:
        """Add the output (1, C, H, W) of one iteration, counted from 1; `generator` is not used."""
        if self.image is None:
            self.image = output.detach().float().clone()
            self._squares = torch.zeros_like(self.image)
        elif self.image.device != output.device:  # a state loaded before the fit moved to its device
            self.image, self._squares = self.image.to(output.device), self._squares.to(output.device)
        if self._difference is None or self._difference.device != output.device:
            self._difference = torch.empty_like(self.image)
        sampled = iteration > self.burn_in and (iteration - self.burn_in) % self.every == 0
        self.samples += sampled
        if self.samples == 0 or (self.samples == 1 and sampled):
            self.image.copy_(output)
        elif sampled:
            torch.sub(output, self.image, out=self._difference)
            self.image.add_(self._difference, alpha=1 / self.samples)
            self._squares.addcmul_(self._difference, self._difference, value=1 - 1 / self.samples)

    def state_dict(self) -> dict[str, Any]:
        """The live tensors (copy them to keep them) and the count; empty before the first output."""
        if self.image is None:
            return {}
        return {"image": self.image, "squares": self._squares, "samples": self.samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a copy of a state, in place where the shapes agree."""
        self.image = copy_into(self.image, state.get("image"))
        self._squares = copy_into(self._squares, state.get("squares"))
        self.samples = state.get("samples", 0)
