"""Classical demosaicing."""

from torch import Tensor

from dip_lab.baselines.arrays import check_task
from dip_lab.problem import Problem
from dip_lab.tasks.demosaic import Bayer


def bilinear(problem: Problem) -> Tensor:
    """Each missing value is the weighted mean of those of its channel beside it: what the task shows as observed.

    Returns:
        (1, 3, H, W) float32 in [0, 1].

    Raises:
        ValueError: another task.
    """
    check_task(problem, Bayer, "bilinear_demosaic")
    return problem.observed()
