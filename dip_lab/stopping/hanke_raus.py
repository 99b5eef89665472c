"""Early stopping by a rule that needs no noise level."""

import torch
from torch import Tensor

from dip_lab.checks import integer
from dip_lab.stopping.rule import Minimum


class HankeRaus(Minimum):
    """Answers with the image of least iteration * residual: from there on, more iterations explain too little.

    On a double logarithmic scale the residual falls steeply while the image forms and less while noise is fitted; the
    minimum is where the slope is -1, the elbow. Made for linear iterative methods; for a network's fit it is a rule of
    thumb, which needs noise that is fitted faster than white noise is.
    Hanke and Raus, A general heuristic for choosing the regularization parameter in ill-posed problems, 1996,
    https://doi.org/10.1137/0917062

    The image is the average if there is one.

    Args:
        every: iterations between checks.
        patience: iterations without a smaller product that end the fit. At least 1.
        min_start: no candidate before this iteration: the average and a growing jitter need some to settle.

    Raises:
        ValueError: an argument is not a whole number or too small.
    """

    uses_observation = True
    statistic_name = "iteration_times_residual"

    def __init__(self, every: int, patience: int, min_start: int) -> None:
        super().__init__(patience, min_start)
        self.every = integer("stopping.every", every, 1)

    def _measure(self, iteration: int, output: Tensor, average: Tensor | None) -> bool | None:
        if iteration % self.every:
            return False if self.observations else None
        prediction = self.problem.operator(output if average is None else average)
        torch.mul(self.problem.residual(prediction), iteration, out=self._value)
        return True
