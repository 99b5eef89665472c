"""Early stopping by Stein's unbiased risk estimate (SURE), for Gaussian and Poisson noise."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.randomness import generator_of
from dip_lab.stopping.noise_level import law_of
from dip_lab.stopping.rule import Minimum
from dip_lab.tasks.noise import Gaussian, Poisson
from dip_lab.tasks.noise_estimate import NoiseEstimate


class Sure(Minimum):
    """Answers with the output of least estimated risk; an estimate below 0 is no longer valid and ends the search.

    With the observation as the network's input (`latent=image`), f is a function of y, and its risk at the current
    weights is mean (f(y) - y)^2 - s^2 + 2 s^2 div f / N, with the divergence from one random probe b: mean of
    b (f(y + step b) - f(y)) / step. The estimate ignores that the weights have seen y too: once they fit the noise
    themselves, it becomes negative.
    Rethinking Deep Image Prior for Denoising, https://arxiv.org/abs/2108.12841

    Each check takes two more passes through the network.

    Args:
        step: length of the probe's step; published 0.01 for Gaussian, 0.001 for Poisson noise.
        sigma: auto (the noise law of the task or, for a given observation, as estimate), estimate (from the
            observation), or a standard deviation in 8-bit units.
        smoothing: weight of the past in the moving average of the estimate, in [0, 1).
        every: iterations between checks.
        patience: iterations without a strict decrease that confirm a minimum. At least 1.
        min_start: no candidate before this iteration.

    Raises:
        ValueError: an argument is out of its range; in `setup`, the latent is not the observation, the task is not
            denoising, or the noise is neither Gaussian nor Poisson.
    """

    uses_observation = True
    statistic_name = "estimated_risk"

    def __init__(self, step: float, sigma: str | float, smoothing: float, every: int, patience: int,
                 min_start: int) -> None:
        super().__init__(patience, min_start)
        self.step = number("stopping.step", step, 0, above=True)
        self.sigma = sigma
        self.smoothing = number("stopping.smoothing", smoothing, 0, 1, below=True)
        self.every = integer("stopping.every", every, 1)

    def setup(self, problem: Any, seed: int, generator: Any = None) -> None:
        super().setup(problem, seed, generator)
        if not getattr(getattr(generator, "latent", None), "is_observation", False):
            raise ValueError("stopping=sure needs the observation as the network's input: add latent=image")
        if len(problem.observation) > 1:
            raise ValueError("stopping=sure works for single pictures only: try stopping=wmv, or video=per_frame")
        if problem.operator.degrades:
            raise ValueError("stopping=sure works for denoising only: try stopping=wmv")
        self.law = law_of(problem, self.sigma, "sure")
        if not isinstance(self.law, Gaussian | Poisson | NoiseEstimate):
            raise ValueError("stopping=sure works for Gaussian and Poisson noise only: try stopping=wmv")
        self.generator = generator

    def _measure(self, iteration: int, output: Tensor, average: Tensor | None) -> bool | None:
        if iteration % self.every and self.observations:
            return False
        y = self.problem.observation
        probe = torch.empty(y.shape, device=y.device)
        probe.normal_(generator=generator_of(self.seed, "sure", iteration, y.device))
        image, moved = self.generator.probed(self.step * probe)
        slope = probe * (moved - image) / self.step
        noise = 2 * self._variance(y) * slope - self._variance(y)
        risk = ((image - y).square() + noise).mean(dtype=torch.float64)
        self._smooth_in(risk, self.smoothing, first=self.observations == 0)
        return True

    def _variance(self, y: Tensor) -> Tensor | float:
        if isinstance(self.law, Gaussian):
            return self.law.std**2
        return y / self.law.photons if isinstance(self.law, Poisson) else self.law.expected_square(y)

    def _better(self, iteration: int, output: Tensor, average: Tensor | None) -> Tensor:
        # A risk cannot be negative: nothing after a negative estimate is a candidate.
        better = super()._better(iteration, output, average)
        return better & ~(self._value < 0)
