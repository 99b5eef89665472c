"""Early stopping by exponential moving variance (ES-EMV)."""

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.stopping.rule import Minimum


class EMV(Minimum):
    """Answers with the output at the first patience-confirmed minimum of the exponential moving variance.

    m and v are the moving mean and variance of the outputs: d = x - m, m += a d, v = (1 - a) (v + a mean(d^2)). This
    needs memory for one image, where the windowed variance needs it for `window`, and it forgets gradually.
    Early Stopping for Deep Image Prior, https://arxiv.org/abs/2112.06074, which clips m to [0, 1]; the outputs of a
    network with a sigmoid are already in that range.

    Args:
        forget: a, the weight of the newest output; published 0.1. About 2 / a outputs count.
        patience: iterations without a strict decrease that confirm a minimum. At least 1.
        min_start: no candidate before this iteration.

    Raises:
        ValueError: `forget` is not between 0 and 1; `patience` or `min_start` is not a whole number or too small.
    """

    statistic_name = "exponential_moving_variance"
    saved = (*Minimum.saved, "_mean", "_variance")

    def __init__(self, forget: float, patience: int, min_start: int) -> None:
        super().__init__(patience, min_start)
        self.forget = number("stopping.forget", forget, 0, 1, above=True, below=True)
        self._mean = self._variance = None

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        super()._allocate(output, average)
        self._change = torch.empty_like(output)
        if self._mean is None:
            self._mean = output.clone()
            self._variance = torch.zeros_like(self._value)

    def _measure(self, iteration: int, output: Tensor, average: Tensor | None) -> bool | None:
        torch.sub(output, self._mean, out=self._change)
        self._mean.add_(self._change, alpha=self.forget)
        energy = self._change.square_().mean(dtype=torch.float64)
        self._variance.add_(energy, alpha=self.forget).mul_(1 - self.forget)
        self._value.copy_(self._variance)
        return True if self.observations else None  # the first output is its own mean
