"""The best image along the run, chosen with the target: a bound for other rules, not a method."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer
from dip_lab.stopping.rule import StoppingRule, finite_or_none


class Oracle(StoppingRule):
    """Answers with the highest PSNR to the target (clamped to [0, 1], full frame); never stops by itself.

    It looks at the average if there is one, otherwise at the output.

    Args:
        every: iterations between checks; the first output is always checked.

    Raises:
        ValueError: `every` is not a whole number of at least 1; in `setup`, there is no target.
    """

    uses_target = True
    statistic_name = "oracle_psnr"
    saved = (*StoppingRule.saved, "_error", "_least")

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = integer("stopping.every", every, 1)
        self._error = self._least = None

    def setup(self, problem: Any, seed: int, generator: Any = None) -> None:
        if problem.target is None:
            raise ValueError("stopping=oracle needs the target, and this picture has none: try stopping=wmv")
        super().setup(problem, seed, generator)

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        super()._allocate(output, average)
        self._target = self.problem.target.to(output.device, torch.float32)
        self._difference = torch.empty_like(output)
        if self._error is None:
            self._error = torch.full((), float("nan"), device=output.device)
            self._least = torch.full((), float("inf"), device=output.device)

    def _better(self, iteration: int, output: Tensor, average: Tensor | None) -> Tensor:
        if self.observations and iteration % self.every:
            return ~self._yes
        image = output if average is None else average
        torch.clamp(image, 0, 1, out=self._difference)
        self._difference.sub_(self._target).square_()
        self._error.copy_(self._difference.mean())
        better = self._error < self._least
        torch.where(better, self._error, self._least, out=self._least)
        return better

    @property
    def statistic(self) -> float | None:
        return None if self._error is None else finite_or_none(-10 * self._error.log10())

    @property
    def why_may_stop(self) -> str:
        psnr = None if self._least is None else finite_or_none(-10 * self._least.log10())
        return "" if psnr is None else f"oracle {psnr:.2f} dB at {self.chosen_iteration}"
