"""The image is pulled towards the answer of a baseline."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.baselines.answers import Baseline, answer_of, check_baseline
from dip_lab.checks import integer, number
from dip_lab.frames import ALL
from dip_lab.regularizers.regularizer import Regularizer


class Towards(Regularizer):
    """weight * mean (x - b)^2 over the holes, b being what a baseline makes of the observation.

    Where the task has no holes, the mean is over the whole image. The baseline runs once, before the first iteration;
    for a clip, once for each frame. It is the step of https://arxiv.org/abs/1903.10176 that pulls the image towards a
    denoised one, with any restoration in its place.

    Args:
        baseline: Problem -> image.
        weight: at least 0; the misfit of `task/misfit=mse` is a mean of squares too.
        until: the iteration at which the pull, which becomes weaker from the first one on, has ended; None: it stays as
            it is.

    Raises:
        ValueError: a value is out of its range, or there is no baseline; in `setup`, it does not suit the task.
    """

    saved = ("_done",)

    def __init__(self, baseline: Baseline, weight: float, until: int | None) -> None:
        self.baseline = check_baseline(baseline, "regularizer.towards.baseline")
        self.weight = number("regularizer.towards.weight", weight, 0)
        self.until = None if until is None else integer("regularizer.towards.until", until, 1)
        self._done = torch.zeros((), dtype=torch.int64)  # iterations; on the CPU, so that reading it waits for nothing

    def setup(self, problem: Any, seed: int) -> None:
        self.answer, self.wanted = answer_of(self.baseline, problem, "regularizer.towards.baseline")

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor | float:
        """Images (N, C, H, W) of `frames` -> 0-d float32."""
        weight = self._weight()
        if weight == 0:
            return 0.0
        if self.answer.device != image.device:
            self.answer, self.wanted = self.answer.to(image.device), self.wanted.to(image.device)
        wanted = self.wanted[frames]
        square = (image.float() - self.answer[frames]).square() * wanted
        return weight * square.sum() / wanted.sum().clamp(min=1)  # a frame or tile may have no hole

    def after_step(self, image: Tensor, iteration: int) -> None:
        self._done.fill_(iteration)

    def _weight(self) -> float:
        """That of the iteration which comes next."""
        if self.until is None:
            return self.weight
        return self.weight * max(0.0, 1 - int(self._done) / self.until)
