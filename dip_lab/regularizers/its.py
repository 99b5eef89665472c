"""ITS: the network's own earlier output is half of what it is fitted to."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.frames import ALL
from dip_lab.regularizers.regularizer import Regularizer
from dip_lab.trees import copy_into


class ITS(Regularizer):
    """weight * misfit(A(image), A(s)), s being the output of the last iteration that `every` divides.

    ITS (https://arxiv.org/abs/2401.01548) fits the network to (y + s) / 2. With the mean square and a weight of 1 that
    is the same descent: |a - (y + s) / 2|^2 is half of |a - y|^2 + |a - s|^2, less a constant. The output has less
    noise than y, so the network takes up the noise later.

    Args:
        weight: at least 0.
        every: iterations from one s to the next; until the first one the term is 0.

    Raises:
        ValueError: a value is out of its range.
    """

    saved = ("_earlier",)

    def __init__(self, weight: float, every: int) -> None:
        self.weight = number("regularizer.its.weight", weight, 0)
        self.every = integer("regularizer.its.every", every, 1)
        self._earlier: Tensor | None = None  # A(s)

    def setup(self, problem: Any, seed: int) -> None:
        self.problem = problem

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor | float:
        if self._earlier is None:
            return 0.0
        return self.weight * self.problem.misfit(image, frames, observation=self._earlier)

    @torch.no_grad()
    def after_step(self, image: Tensor, iteration: int) -> None:
        if iteration % self.every == 0:
            self._earlier = copy_into(self._earlier, self.problem.operator(image))
