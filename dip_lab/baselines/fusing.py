"""Classical fusion of luma; the task puts the colour back."""

import numpy as np
import torch
from torch import Tensor

from dip_lab.baselines.arrays import check_task
from dip_lab.checks import integer
from dip_lab.problem import Problem
from dip_lab.tasks.fusion import Sources

TAPS = np.array([1, 4, 6, 4, 1]) / 16  # Burt and Adelson's, a = 0.375


def mean(problem: Problem) -> Tensor:
    """The mean of the sources; (1, 1, H, W) float32 in [0, 1].

    Raises:
        ValueError: the task is not fusion.
    """
    return _sources(problem, "mean").mean(1, keepdim=True)


def maximum(problem: Problem) -> Tensor:
    """The brightest source at each pixel; (1, 1, H, W) float32 in [0, 1].

    Raises:
        ValueError: the task is not fusion.
    """
    return _sources(problem, "maximum").amax(1, keepdim=True)


def laplacian(problem: Problem, levels: int) -> Tensor:
    """The strongest details in the Laplacian pyramids of the sources, added to the mean of their coarsest levels.

    The pyramid is that of Burt and Adelson, https://doi.org/10.1109/TCOM.1983.1095851

    Args:
        problem: fusion.
        levels: of detail, each half the size of the last; fewer if the picture is too small for them.

    Returns:
        (1, 1, H, W) float32 in [0, 1].

    Raises:
        ValueError: the task is not fusion, or `levels` is below 1.
    """
    sources = _sources(problem, "laplacian")
    levels = integer("baseline.levels", levels, 1)
    rest, details = sources[0].double().cpu().numpy(), []
    while len(details) < levels and min(rest.shape[-2:]) >= len(TAPS):
        smaller = reduced(rest)
        details.append(rest - expanded(smaller, rest.shape[-2:]))
        rest = smaller
    image = rest.mean(0)
    for detail in reversed(details):
        strongest = np.abs(detail).argmax(0)[None]
        image = expanded(image, detail.shape[-2:]) + np.take_along_axis(detail, strongest, 0)[0]
    return torch.from_numpy(image[None, None]).float().clamp(0, 1).to(sources.device)


def reduced(image: np.ndarray) -> np.ndarray:
    """(..., H, W) -> (..., ceil(H / 2), ceil(W / 2)): smoothed (mirrored at the edges), then every second pixel."""
    return _smooth(image, TAPS)[..., ::2, ::2]


def expanded(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge a picture that `reduced` has halved to `size` (height, width), interpolating with the same taps."""
    larger = np.zeros((*image.shape[:-2], *size))
    larger[..., ::2, ::2] = image
    return _smooth(larger, 2 * TAPS)


def _smooth(image: np.ndarray, taps: np.ndarray) -> np.ndarray:
    from scipy.ndimage import convolve1d

    return convolve1d(convolve1d(image, taps, axis=-1, mode="mirror"), taps, axis=-2, mode="mirror")


def _sources(problem: Problem, baseline: str) -> Tensor:
    """The lumas (1, S, H, W)."""
    check_task(problem, Sources, baseline)
    return problem.observation
