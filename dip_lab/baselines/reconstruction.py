"""Direct reconstructions from a scanner's measurements."""

from torch import Tensor

from dip_lab.baselines.arrays import check_task
from dip_lab.checks import one_of
from dip_lab.problem import Problem
from dip_lab.tasks.ct import Radon
from dip_lab.tasks.mri import Fourier

FILTERS = ("ramp", "shepp-logan", "cosine", "hamming", "hann")


def fbp(problem: Problem, filter: str) -> Tensor:
    """Filtered back-projection; (N, C, H, W) float32 in [0, 1].

    Args:
        problem: ct.
        filter: ramp, or one that damps high frequencies: shepp-logan, cosine, hamming, hann.

    Raises:
        ValueError: the task is not ct, or the filter is unknown.
    """
    one_of("baseline.filter", filter, FILTERS)
    check_task(problem, Radon, "fbp")
    return problem.operator.filtered_back_projection(problem.observation, filter)


def zero_filled(problem: Problem) -> Tensor:
    """The inverse Fourier transform with 0 for values that were not sampled; (N, C, H, W) float32 in [0, 1].

    Raises:
        ValueError: the task is not mri.
    """
    check_task(problem, Fourier, "zero_filled")
    return problem.observed()
