"""Early stopping on observed values that the fit does not see."""

import math
from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.randomness import generator_of
from dip_lab.stopping.rule import Minimum, finite_or_none


class Holdout(Minimum):
    """Answers with the image that predicts the held-out values best, in the mean square.

    A random `share` of the observed values is left out of the misfit. Their noise is independent of what was fitted, so
    the mean square of A(x) - y there is that of the error plus a constant, whatever the noise. This requires noise
    that is independent from value to value (not that of a JPEG or of a demosaicked photo). For super-resolution the
    values are those of the small picture. An input that is made of the observation has the mean of their neighbours in
    their place. The price is that the fit sees less data. This is cross-validation; for
    denoising, the same idea is Noise2Self, https://arxiv.org/abs/1901.11365

    The error at the held-out values is lowest a little before that of the whole image: a value that is fitted knows
    itself, one that is held out has only its neighbours. So the answer is a little `later` than the minimum.

    Args:
        share: of the observed values, in (0, 0.5].
        every: iterations between checks.
        patience: iterations without a better answer that end the fit. At least 1.
        later: the answer's iteration is up to 1 + `later` times that of the minimum.
        least: smallest relative decrease that counts, in [0, 1): without noise the error decreases for ever. Where
            noise was added any decrease counts, as most of the error is the noise's.
        min_start: no candidate before this iteration.

    Raises:
        ValueError: an argument is out of its range; in `hold_out`, the picture is too small for the share.
    """

    uses_observation = changes_fit = True
    statistic_name = "held_out_error"

    saved = (*Minimum.saved, "_until")

    def __init__(self, share: float, every: int, patience: int, later: float, least: float, min_start: int) -> None:
        super().__init__(patience, min_start)
        self.share = number("stopping.share", share, 0, 0.5, above=True)
        self.every = integer("stopping.every", every, 1)
        self.later = number("stopping.later", later, 0)
        self.least = number("stopping.least", least, 0, 1, below=True)
        self._until = None

    def hold_out(self, problem: Any, seed: int) -> None:
        observation = problem.observation
        held = torch.rand(observation.shape, generator=generator_of(seed, "holdout")) < self.share
        if problem.counted is not None:
            held &= problem.counted.expand_as(observation) > 0
        if not held.any():
            raise ValueError(f"stopping.share={self.share}: no value is held out (too few values): give a larger share")
        self.held = held
        problem.hold_out(held)
        if problem.noise is not None and getattr(problem.noise, "degrades", True):
            self.least = 0.0

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        super()._allocate(output, average)
        if self._until is None:
            self._until = torch.zeros_like(self._value)
        self._index = self.held.flatten().nonzero().flatten().to(output.device)
        self._wanted = torch.take(self.problem.observation.to(output.device), self._index)

    def _better(self, iteration: int, output: Tensor, average: Tensor | None) -> Tensor:
        lower = super()._better(iteration, output, average)
        torch.where(lower, self._now * (1 + self.later), self._until, out=self._until)
        return lower | (self._now <= self._until)

    def _measure(self, iteration: int, output: Tensor, average: Tensor | None) -> bool | None:
        if iteration % self.every:
            return False if self.observations else None
        prediction = self.problem.operator(output if average is None else average)
        error = torch.take(prediction, self._index).sub_(self._wanted).square_()
        self._value.copy_(error.mean())
        return True

    @property
    def psnr_held_out(self) -> float | None:
        error = finite_or_none(self._best)
        return -10 * math.log10(error) if error else None
