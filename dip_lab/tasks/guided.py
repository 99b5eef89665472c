"""Guided restoration: a misfit of four terms, for a network that sees a guide."""

from torch import Tensor, nn

from dip_lab.checks import number
from dip_lab.tasks.fusion import sobel


class Guided(nn.Module):
    """mse * mean r^2 + l1 * mean |r| + edge * mean |sobel(r)| / 8 + tv * mean |grad A(x)|, where r = A(x) - y.

    Sobel's kernels are linear, so `edge` compares the edges of A(x) with those of y, in both directions. Where a value
    does not count (a hole, a held-out value) r is 0; the variation does not use y and is taken everywhere. The two
    gradients are anisotropic, and per pixel: a ramp of 1 per pixel along the rows has |sobel| / 8 = |grad| = 1.

    Args:
        mse: weight of its term, at least 0; a term of weight 0 costs nothing.
        l1, edge, tv: the same for theirs.

    Raises:
        ValueError: a weight is negative or not a number, or `mse`, `l1` and `edge` are all 0.
    """

    def __init__(self, mse: float, l1: float, edge: float, tv: float):
        super().__init__()
        self.mse = number("task.misfit.mse", mse, 0)
        self.l1 = number("task.misfit.l1", l1, 0)
        self.edge = number("task.misfit.edge", edge, 0)
        self.tv = number("task.misfit.tv", tv, 0)
        if not self.mse + self.l1 + self.edge:
            raise ValueError("task.misfit.mse=0: mse, l1 and edge are all 0, nothing holds the picture to the "
                             "observation: give one of them a weight")

    def forward(self, prediction: Tensor, observation: Tensor, counted: Tensor | None) -> Tensor:
        """0-d float32; `counted` is 1 where the observation counts and 0 elsewhere, None: everywhere."""
        prediction = prediction.float()
        residual = prediction - observation.float()
        if counted is not None:
            residual = residual * counted
        loss = self.mse * residual.square().mean()
        if self.l1:
            loss = loss + self.l1 * residual.abs().mean()
        if self.edge:
            loss = loss + self.edge * 2 * sobel(residual).abs().mean() / 8  # the mean is over both directions
        if self.tv:
            loss = loss + self.tv * variation(prediction)
        return loss


def variation(image: Tensor) -> Tensor:
    """Anisotropic total variation per value: the mean of |dx| plus the mean of |dy|.

    >>> import torch
    >>> float(variation(torch.arange(4.0).expand(1, 1, 3, 4)))
    1.0
    """
    across, down = image.diff(dim=-1).abs(), image.diff(dim=-2).abs()
    return across.mean() + down.mean()
