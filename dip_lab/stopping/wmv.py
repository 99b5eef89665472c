"""Early stopping by windowed moving variance (ES-WMV)."""

import torch
from torch import Tensor

from dip_lab.checks import integer
from dip_lab.randomness import generator_of
from dip_lab.stopping.rule import Minimum


class WMV(Minimum):
    """Answers with the output at the first patience-confirmed minimum of the windowed variance.

    Outputs change quickly while the image forms and again while the noise is fitted; in between, near the
    PSNR peak, they hardly move. The statistic is the mean over the last `window` outputs and all entries of
    (x - window mean)^2. It watches raw outputs, not the average, which is smooth by construction.
    Early Stopping for Deep Image Prior, https://arxiv.org/abs/2112.06074

    One iteration costs O(pixels), whatever the window: the rule keeps a ring buffer (26 MB at 100 x 65536), the
    running sum of each entry, and one running sum of squares, in float64 (in float32 their difference cancels to
    rounding noise).

    Args:
        window: outputs in the window (observations, if iteration numbers have gaps). At least 2.
        patience: iterations without a strict decrease that confirm a minimum. At least 1.
        min_start: no candidate before this iteration. The first few hundred have a false valley.
        pixels: size of the fixed random subset of output values that is watched; None watches all.

    Raises:
        ValueError: an argument is not a whole number or too small.
    """

    statistic_name = "windowed_variance"
    saved = (*Minimum.saved, "_ring", "_sum", "_squares")

    def __init__(self, window: int, patience: int, min_start: int, pixels: int | None) -> None:
        super().__init__(patience, min_start)
        self.window = integer("stopping.window", window, 2)
        self.pixels = None if pixels is None else integer("stopping.pixels", pixels, 1)
        self._ring = self._sum = self._squares = None

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        super()._allocate(output, average)
        device, values = output.device, output.numel()
        if self.pixels is None or self.pixels >= values:
            self._index = torch.arange(values, device=device)
        else:
            subset = torch.randperm(values, generator=generator_of(self.seed, "wmv"))[: self.pixels]
            self._index = subset.sort().values.to(device)
        watched = len(self._index)
        self._new = torch.empty(watched, dtype=torch.float32, device=device)
        self._wide, self._change = torch.empty(2, watched, dtype=torch.float64, device=device)
        if self._ring is None:
            self._ring = torch.zeros(self.window, watched, dtype=torch.float32, device=device)
            self._sum = torch.zeros_like(self._wide)
            self._squares = torch.zeros((), dtype=torch.float64, device=device)

    def _measure(self, iteration: int, output: Tensor, average: Tensor | None) -> bool | None:
        self._slide(output)
        if self.observations + 1 < self.window:
            return None
        self._update_value()
        return True

    def _slide(self, output: Tensor) -> None:
        """Put the watched values in the ring's oldest slot (zeros until it is full) and update the sums."""
        old = self._ring[self.observations % self.window]
        torch.take(output, self._index, out=self._new)  # by logical position: the same in every memory format
        self._wide.copy_(self._new)
        torch.sub(self._wide, old, out=self._change)
        self._sum.add_(self._change)
        self._wide.add_(old).mul_(self._change)  # new^2 - old^2 = (new + old)(new - old)
        self._squares.add_(self._wide.sum())
        old.copy_(self._new)

    def _update_value(self) -> None:
        torch.mul(self._sum, self._sum, out=self._wide)
        squared_means = self._wide.sum().div_(self.window)
        torch.sub(self._squares, squared_means, out=self._value)
        self._value.div_(self.window * len(self._index)).clamp_(min=0)
