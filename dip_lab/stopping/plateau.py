"""The usual early stopping on the loss: only a baseline, as the loss of an untrained network keeps falling."""

from torch import Tensor

from dip_lab.checks import number
from dip_lab.stopping.rule import Minimum


class Plateau(Minimum):
    """Answers with the last output that lowered the misfit by the share `least`; stops after `patience` without one.

    The misfit of the outputs is smoothed over about 2 / (1 - smoothing) of them, as jitter makes it fluctuate.

    Args:
        least: smallest relative decrease that counts, in [0, 1).
        smoothing: weight of the past in the moving average of the misfit, in [0, 1).
        patience: iterations without such a decrease that end the fit. At least 1.
        min_start: no candidate before this iteration.

    Raises:
        ValueError: an argument is out of its range.
    """

    uses_observation = True
    statistic_name = "misfit"

    def __init__(self, least: float, smoothing: float, patience: int, min_start: int) -> None:
        super().__init__(patience, min_start)
        self.least = number("stopping.least", least, 0, 1, below=True)
        self.smoothing = number("stopping.smoothing", smoothing, 0, 1, below=True)

    def _measure(self, iteration: int, output: Tensor, average: Tensor | None) -> bool | None:
        self._smooth_in(self.problem.misfit(output).double(), self.smoothing, first=not self.observations)
        return True
