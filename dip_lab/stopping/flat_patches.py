"""Early stopping by the noise that appears on flat patches, for noise that neighbouring pixels share."""

import math
from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.stopping.rule import StoppingRule, finite_or_none
from dip_lab.tasks.noise_estimate import flat_patches

# Measured on CC15 and PolyU, see docs/photos.md
ELBOW = 0.25  # exponent of iteration * residual beside the estimated error
TRUST = 0.25  # weight of the level that was estimated on flat patches, in a geometric mean with the residual's
WEAK = 1 / 16  # with less energy than this, compared with the residual, flat patches tell nothing


class FlatPatches(StoppingRule):
    """Answers with the image of least (residual + 2 * weight * level * fitted) * (iteration * residual)^(1/4).

    A camera's noise is shared by neighbouring pixels, so values that are held out of the fit are predicted together
    with their noise. But where the picture is flat, all that varies is noise. `fitted` is the share of it that the
    image has taken over: <image, noise> / <noise, noise> over the flat patches. As in Stein's risk estimate (1981), the
    error of an image is its residual, plus twice the noise's level times that share, plus a constant. Structure takes
    noise over about twice as fast as flat patches do, hence `weight`.

    The other factor is the rule of Hanke and Raus for iterative methods, which needs no level: the least
    iteration * residual (A general heuristic for choosing the regularization parameter in ill-posed problems, 1996).
    Alone it answers too early. The residual at its minimum, the elbow, also corrects the level that was estimated,
    since a camera's noise is often stronger where there is structure. If there is hardly any noise on flat patches, the
    elbow alone decides. docs/photos.md compares the rule with others on two cameras' data sets.

    The image is the average if there is one: a single output is too restless.

    Args:
        share: of the patches, those that count as flat, in (0, 1].
        weight: above 0.
        every: iterations between checks.
        patience: iterations without a better answer that end the fit. At least 1.
        min_start: no candidate before this iteration: the average and a growing jitter need some to settle.

    Raises:
        ValueError: an argument is out of its range; in `setup`, the observation is no picture, or too small.
    """

    uses_observation = True
    statistic_name = "estimated_error"
    sentence = "more noise appears on flat patches than structure elsewhere"
    saved = (*StoppingRule.saved, "_error", "_product", "_elbow", "_level", "_answer")

    def __init__(self, share: float, weight: float, every: int, patience: int, min_start: int) -> None:
        super().__init__()
        self.share = number("stopping.share", share, 0, 1, above=True)
        self.weight = number("stopping.weight", weight, 0, above=True)
        self.every = integer("stopping.every", every, 1)
        self.patience = integer("stopping.patience", patience, 1)
        self.min_start = integer("stopping.min_start", min_start, 0)
        self._error = self._product = self._elbow = self._level = self._answer = None

    def setup(self, problem: Any, seed: int, generator: Any = None) -> None:
        super().setup(problem, seed, generator)
        estimate = problem.noise_estimate
        if estimate is None:
            raise ValueError("stopping=flat_patches: the observation has no patches of 16 x 16 px: try stopping=wmv")
        places, noise = flat_patches(problem.observation[:1], problem.operator.known, self.share)
        self.places, self.noise = places.flatten(), (noise / noise.square().sum().clamp_min(1e-12)).flatten()
        self.estimated = estimate.std**2

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        super()._allocate(output, average)
        self.places, self.noise = self.places.to(output.device), self.noise.to(output.device)
        if self._error is None:
            self._error, self._product, self._level = torch.full((3,), math.inf, device=output.device).unbind()
            self._elbow = torch.zeros_like(self._now)
            self._answer = torch.full((3,), math.inf, device=output.device)

    def _better(self, iteration: int, output: Tensor, average: Tensor | None) -> Tensor:
        if iteration < self.min_start:
            return self._yes
        if iteration % self.every:
            return ~self._yes
        prediction = self.problem.operator(output if average is None else average)
        residual = self.problem.residual(prediction)
        fitted = (torch.take(prediction, self.places) @ self.noise).clamp(min=0)
        found = self._now - self._elbow > self.patience  # the elbow is the first minimum that lasts
        smaller = (iteration * residual < self._product) & ~found | self._product.isinf()
        for kept, new in ((self._product, iteration * residual), (self._level, residual), (self._elbow, self._now)):
            torch.where(smaller, new, kept, out=kept)
        now = torch.stack((residual, fitted, iteration * residual))
        self._error.copy_(self._criterion(now))
        better = (self._error < self._criterion(self._answer)) | self._answer.isinf().any()
        torch.where(better, now, self._answer, out=self._answer)
        weak = self.estimated < WEAK * self._level
        return torch.where(weak, ~found, better)

    def _criterion(self, image: Tensor) -> Tensor:
        """Of an image's residual, fitted share and iteration * residual, with the level that is known by now."""
        residual, fitted, product = image
        level = self._level * (self.estimated / self._level).clamp(0.1, 10) ** TRUST
        return (residual + 2 * self.weight * level * fitted) * product**ELBOW

    @property
    def statistic(self) -> float | None:
        return finite_or_none(self._error)

    @property
    def why_may_stop(self) -> str:
        error = self.statistic
        return "" if error is None else f"flat_patches {error:.1e}, {self.stale}/{self.patience}"
