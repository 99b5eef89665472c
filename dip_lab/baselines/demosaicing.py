"""Classical demosaicing."""

from torch import Tensor

from dip_lab.baselines.arrays import check_task
from dip_lab.problem import Problem
from dip_lab.tasks.demosaic import Bayer


def bilinear(problem: Problem) -> Tensor:
    """Each missing value becomes the weighted mean of its neighbours in the channel, as in the task's observed picture.

    Returns:
        (1, 3, H, W) float32 in [0, 1].

    Raises:
        ValueError: the task is not demosaicing.
    """
    check_task(problem, Bayer, "bilinear_demosaic")
    return problem.observed()
