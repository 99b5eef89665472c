"""Point spread functions: small kernels that say how a point of the image is smeared out over the observation."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.data.images import MAX_PIXELS, mean, read_picture


@dataclass(frozen=True)
class PointSpread:
    """A kernel (h, w) of sum 1 whose centre is the value at (h // 2, w // 2), also where h or w is even."""

    def kernel(self) -> Tensor:
        """(h, w) float64 of sum 1; rows run downwards, as in the picture that a bright point would leave."""
        raise NotImplementedError


@dataclass(frozen=True)
class Gaussian(PointSpread):
    """exp(-d^2 / (2 sigma^2)) at `size` x `size` px, d from their middle, as MATLAB's fspecial.

    An even size moves the picture by half a pixel, as it does for a box.

    Raises:
        ValueError: `size` is below 1, or `sigma` is not positive.
    """

    size: int
    sigma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", integer("task.psf.size", self.size, 1))
        number("task.psf.sigma", self.sigma, 0, above=True)

    def kernel(self) -> Tensor:
        distance = torch.arange(self.size, dtype=torch.float64) - (self.size - 1) / 2
        weights = torch.exp(-distance.square() / (2 * self.sigma**2))
        weights = weights / weights.sum()
        return torch.outer(weights, weights)


@dataclass(frozen=True)
class Box(PointSpread):
    """The mean of `size` x `size` px."""

    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", integer("task.psf.size", self.size, 1))

    def kernel(self) -> Tensor:
        return torch.full((self.size, self.size), 1 / self.size**2, dtype=torch.float64)


@dataclass(frozen=True)
class Motion(PointSpread):
    """A straight line of `length` px at `angle` degrees, counter-clockwise from the horizontal, antialiased.

    A pixel weighs 1 less its distance to the segment of length - 1 px through the centre, if that is positive, as in
    MATLAB's fspecial: at angle 0 or 90 and a whole odd length, exactly `length` equal weights.

    Raises:
        ValueError: `length` is below 1, or `angle` is not a number from -360 to 360.
    """

    length: float
    angle: float

    def __post_init__(self) -> None:
        number("task.psf.length", self.length, 1)
        number("task.psf.angle", self.angle, -360, 360)

    def kernel(self) -> Tensor:
        half = (self.length - 1) / 2
        reach = math.ceil(half) + 1
        steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
        right, up = steps[None, :], -steps[:, None]
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        along = right * cosine + up * sine
        distance = torch.hypot(along - along.clamp(-half, half), up * cosine - right * sine)
        weights = (1 - distance).clamp(min=0)
        weights[weights < 1e-12] = 0  # rounding errors of the sine would widen a horizontal line
        rows, columns = weights.any(1), weights.any(0)  # symmetric about the centre, so what is left stays centred
        weights = weights[rows][:, columns]
        return weights / weights.sum()


@dataclass(frozen=True)
class File(PointSpread):
    """A kernel from a picture, whose channels are averaged and where black is 0, or from an .npy array (h, w).

    It is scaled to sum 1. A picture must have at least 8 px a side: surround a smaller kernel with black, or save it
    as .npy.
    """

    path: str | None

    def kernel(self) -> Tensor:
        """The kernel.

        Raises:
            ValueError: there is no path, no such file, the array does not have two axes, or its values are not finite
                or have no positive sum.
        """
        if not self.path:
            raise ValueError("task.psf.path is empty: give the kernel's picture or array, task.psf.path=kernel.npy")
        path = Path(os.path.expanduser(self.path))
        values = _array(path) if path.suffix == ".npy" else read_picture(path, keep=mean).pixels[0, 0].double().numpy()
        if values.ndim != 2 or values.dtype.kind not in "biuf" or not 0 < values.size <= MAX_PIXELS:
            raise ValueError(f"task.psf.path={path}: an array of {values.dtype} and shape {values.shape}: "
                             f"give real numbers (h, w), at most {MAX_PIXELS:,}")
        values = torch.from_numpy(np.array(values, np.float64))
        total = values.sum()
        if not (total.isfinite() and total > 0):
            raise ValueError(f"task.psf.path={path}: its values have the sum {total:g}: give a kernel of positive sum")
        kernel = values.div_(total)
        if not kernel.float().isfinite().all():
            raise ValueError(f"task.psf.path={path}: scaled to sum 1, its values are too large: they cancel each other")
        return kernel


def _array(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")  # the header may claim more than the file holds
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "not an array of numbers in NumPy's format"
        raise ValueError(f"task.psf.path={path} cannot be read ({reason}): save it with numpy.save") from error
