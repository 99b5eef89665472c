"""Classical enlargement."""

import numpy as np
from PIL import Image
from torch import Tensor

from dip_lab.baselines.arrays import array_of, check_task, image_of
from dip_lab.checks import one_of
from dip_lab.problem import Problem
from dip_lab.tasks.super_resolution import Downsample


def resized(problem: Problem, filter: str) -> Tensor:
    """The observation enlarged by the factor with Pillow, in floats, and cropped to the image's size.

    Args:
        problem: super-resolution.
        filter: nearest, bilinear, bicubic (a = -1/2) or lanczos (3 lobes).

    Returns:
        (1, C, H, W) float32 in [0, 1].

    Raises:
        ValueError: the task is not super-resolution, or the filter is unknown.
    """
    one_of("baseline.filter", filter, ("nearest", "bilinear", "bicubic", "lanczos"))
    check_task(problem, Downsample, filter)
    small, factor, (height, width) = array_of(problem), problem.operator.factor, problem.image_shape[-2:]
    size = small.shape[1] * factor, small.shape[0] * factor
    planes = [Image.fromarray(plane).resize(size, Image.Resampling[filter.upper()])
              for plane in np.moveaxis(small, -1, 0)]
    return image_of(np.stack(planes, -1)[:height, :width], problem)
