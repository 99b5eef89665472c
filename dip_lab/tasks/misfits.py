"""Data terms between A(x) and y, scalars in float32 whatever the precision of the fit."""

from torch import Tensor, nn

from dip_lab.checks import one_of
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.operators import Operator


class MeanSquared(nn.Module):
    """mean((A(x) - y)^2) over all values of the observation."""

    def forward(self, prediction: Tensor, observation: Tensor, operator: Operator) -> Tensor:
        """0-d float32."""
        return (prediction.float() - observation.float()).square().mean()


class MaskedMeanSquared(nn.Module):
    """sum((known * (A(x) - y))^2) over the number of values: of `all` of them, or only of the `known` ones.

    Published: all, so the effective learning rate shrinks with the known fraction (by 50 at 98 % missing).
    """

    def __init__(self, over: str):
        super().__init__()
        one_of("task.misfit.over", over, ("all", "known"))
        self.over = over

    def forward(self, prediction: Tensor, observation: Tensor, operator: Masking) -> Tensor:
        """0-d float32; what the observation has in the holes does not count."""
        known = operator.known
        square = ((prediction.float() - observation.float()) * known).square()
        if self.over == "all":
            return square.mean()
        return square.sum() / known.expand_as(square).sum()
