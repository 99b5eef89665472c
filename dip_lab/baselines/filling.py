"""Classical filling of holes. Known values stay as they are."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from dip_lab.baselines.arrays import array_of, check_task, image_of
from dip_lab.problem import Problem
from dip_lab.tasks.inpaint import Masking


def voronoi(problem: Problem) -> Tensor:
    """Each missing value becomes the nearest known one of its channel; (1, C, H, W) float32 in [0, 1].

    Of several equally near values a k-d tree gives an arbitrary one, always the same. With 50 % of holes most have
    such ties, and a distance transform, which prefers one direction, is up to 0.3 dB off the published figures.

    Raises:
        ValueError: the task is not inpainting, or nothing is known of one channel.
    """
    from scipy.interpolate import NearestNDInterpolator

    def nearest(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        filled = image.copy()
        filled[hole] = NearestNDInterpolator(np.argwhere(~hole), image[~hole])(np.argwhere(hole))
        return filled

    return _filled(problem, nearest, "voronoi")


def biharmonic(problem: Problem) -> Tensor:
    """The smoothest surface (bi-Laplacian 0) through the known values; (1, C, H, W) float32 in [0, 1].

    Damelin and Hoang, https://doi.org/10.1155/2018/3950312

    Raises:
        ValueError: the task is not inpainting, or nothing is known of one channel.
    """
    from skimage.restoration import inpaint_biharmonic

    def smoothest(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        # float64: the equations of a wide hole are too ill-conditioned for float32
        return inpaint_biharmonic(image.astype(np.float64), hole, channel_axis=-1)

    return _filled(problem, smoothest, "biharmonic")


def _filled(problem: Problem, fill: Callable[[np.ndarray, np.ndarray], np.ndarray], baseline: str) -> Tensor:
    """Fill by `fill`, which takes channels (H, W, c) that share their holes, and those holes (H, W), never empty."""
    check_task(problem, Masking, baseline)
    image, holes = array_of(problem), (problem.operator.hole[0] > 0).cpu().numpy()
    if holes.all(axis=(1, 2)).any():
        raise ValueError(f"baseline={baseline}: nothing is known of one channel: leave some of its pixels known")
    parts = [fill(part, hole) if hole.any() else part
             for part, hole in zip(np.split(image, len(holes), axis=-1), holes, strict=True)]
    return image_of(np.concatenate(parts, -1), problem)
