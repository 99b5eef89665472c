"""Morozov's discrepancy principle."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.stopping.noise_level import law_of
from dip_lab.stopping.rule import StoppingRule, finite_or_none


class Discrepancy(StoppingRule):
    """Stops at the first image whose residual is no larger than the noise: mean (A(x) - y)^2 <= tau * mean noise^2.

    The energy of the noise is that of its law at the current image, clipping included (clipped sigma 50 has 0.85 of
    the nominal variance, so that a nominal threshold stops too early). The image is the average if there is one,
    because jitter inflates the residual of a single output.
    Morozov 1966; for untrained networks see https://arxiv.org/abs/2112.06074, section 2.

    Args:
        tau: above 0; 1 to 1.1 is usual.
        sigma: auto (the noise law of the task or, for a given observation, as estimate), estimate (from the
            observation), or a standard deviation in 8-bit units.
        every: iterations between checks.
        min_start: no check before this iteration.

    Raises:
        ValueError: an argument is out of its range; in `setup`, there is no noise, or it cannot be estimated.
    """

    uses_observation = True
    statistic_name = "discrepancy"
    saved = (*StoppingRule.saved, "_ratio", "_reached")
    patience = 1  # the first one is final

    def __init__(self, tau: float, sigma: str | float, every: int, min_start: int) -> None:
        super().__init__()
        self.tau = number("stopping.tau", tau, 0, above=True)
        self.sigma = sigma
        self.every = integer("stopping.every", every, 1)
        self.min_start = integer("stopping.min_start", min_start, 0)
        self.sentence = f"the residual is down to {self.tau:g} times the noise"
        self._ratio = self._reached = None

    def setup(self, problem: Any, seed: int, generator: Any = None) -> None:
        super().setup(problem, seed, generator)
        self.law = law_of(problem, self.sigma, "discrepancy")

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        super()._allocate(output, average)
        if self._ratio is None:
            self._ratio = torch.full((), float("inf"), device=output.device)
            self._reached = torch.zeros_like(self._yes)

    def _better(self, iteration: int, output: Tensor, average: Tensor | None) -> Tensor:
        before = ~self._reached  # up to the first image that reaches the noise, the latest one is the answer
        if iteration >= self.min_start and iteration % self.every == 0:
            self._look(output if average is None else average)
        return before

    def _look(self, image: Tensor) -> None:
        prediction = self.problem.operator(image)
        square = (prediction - self.problem.observation).square()
        noise = self.law.expected_square(prediction.clamp(0, 1))
        if self.problem.counted is not None:
            square, noise = square * self.problem.counted, noise * self.problem.counted
        torch.div(square.sum(), self.tau * noise.sum(), out=self._ratio)
        self._reached.logical_or_(self._ratio <= 1)

    @property
    def statistic(self) -> float | None:
        return finite_or_none(self._ratio)

    @property
    def why_may_stop(self) -> str:
        ratio = self.statistic
        return "" if ratio is None else f"residual {ratio:.3f} of the noise"
