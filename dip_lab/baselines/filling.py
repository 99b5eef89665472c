"""Classical filling of holes. Known values stay as they are."""

from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor

from dip_lab.baselines.arrays import array_of, check_task, image_of
from dip_lab.checks import integer, number, one_of
from dip_lab.problem import Problem
from dip_lab.randomness import seed_of
from dip_lab.tasks.inpaint import Masking

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (image (H, W, c), hole (H, W) bool) -> (H, W, c)


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


def cubic(problem: Problem) -> Tensor:
    """Cubic surfaces over the triangles between the known pixels, smooth across their sides; (1, C, H, W) in [0, 1].

    What bicubic interpolation is on a grid, for known pixels that lie anywhere: Clough and Tocher's method, by
    https://docs.scipy.org/doc/scipy/reference/generated/scipy.interpolate.CloughTocher2DInterpolator.html
    Outside all triangles, each value is the nearest known one.

    Raises:
        ValueError: the task is not inpainting, nothing is known of one channel, or all known pixels lie on one line.
    """
    from scipy.interpolate import CloughTocher2DInterpolator, NearestNDInterpolator
    from scipy.spatial import Delaunay, QhullError

    def surface(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        known, wanted = np.argwhere(~hole), np.argwhere(hole)
        try:
            triangles = Delaunay(known)
        except (QhullError, ValueError) as error:  # fewer than four of them is a ValueError
            raise ValueError("baseline=cubic: the known pixels span no triangle: try baseline=voronoi") from error
        values = CloughTocher2DInterpolator(triangles, image[~hole])(wanted)
        outside = np.isnan(values).any(-1)
        if outside.any():
            values[outside] = NearestNDInterpolator(known, image[~hole])(wanted[outside])
        filled = image.copy()
        filled[hole] = values
        return filled

    return _filled(problem, surface, "cubic")


def opencv(problem: Problem, method: str, radius: float) -> Tensor:
    """Filling from the rim inwards by OpenCV, with 8-bit values in the holes; (1, C, H, W) float32 in [0, 1].

    Args:
        problem: inpainting.
        method: telea, the weighted mean of what is known nearby, https://doi.org/10.1080/10867651.2004.10487596, or
            navier_stokes, which carries edges on as a fluid does, https://doi.org/10.1109/CVPR.2001.990497
        radius: px around a pixel that it is made of.

    Raises:
        ValueError: the task is not inpainting, OpenCV is not installed, nothing is known of one channel, or an
            argument is out of its range.
    """
    one_of("baseline.method", method, ("telea", "navier_stokes"))
    radius = number("baseline.radius", radius, 1, 100)
    check_task(problem, Masking, method)
    try:
        import cv2
    except ImportError as error:
        raise ValueError(f"baseline={method} needs OpenCV: pip install 'dip-lab[opencv]'") from error
    flag = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}[method]

    def inwards(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        return cv2.inpaint(image, hole.astype(np.uint8), radius, flag)

    return _filled(problem, partial(_in_8_bits, inwards), method)


def patchmatch(problem: Problem, patch_size: int, seed: int) -> Tensor:
    """Holes filled with patches from elsewhere in the picture, found by a random search; (1, C, H, W) in [0, 1].

    Barnes, Shechtman, Finkelstein, Goldman, https://doi.org/10.1145/1531326.1531330, by the package PyPatchMatch, which
    takes RGB of 8 bits: a grey picture, or a channel with holes of its own, is given to it as three equal channels.

    Args:
        problem: inpainting.
        patch_size: how many px a patch reaches in each direction: 3 compares patches of 7 x 7 px.
        seed: of the search; the same seed gives the same picture.

    Raises:
        ValueError: the task is not inpainting, the package is not installed or has no library for this machine, nothing
            is known of one channel, or an argument is out of its range.
    """
    patch_size, seed = integer("baseline.patch_size", patch_size, 1, 50), integer("baseline.seed", seed)
    check_task(problem, Masking, "patchmatch")
    try:
        import patchmatch as package
    except ImportError as error:
        raise ValueError("baseline=patchmatch needs PyPatchMatch: pip install 'dip-lab[patchmatch]'") from error
    if not package.patchmatch_available:
        raise ValueError("baseline=patchmatch: PyPatchMatch was installed without its library, which had to be built "
                         "here: install OpenCV's development files, then pip install --force-reinstall --no-deps "
                         "--no-cache-dir pypatchmatch")

    def copied(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        rgb = image if image.shape[-1] == 3 else image.repeat(3, -1)
        package.set_random_seed(seed_of(seed, "patchmatch") % 2**32)
        return package.inpaint(rgb, hole, patch_size=patch_size)[..., : image.shape[-1]]

    return _filled(problem, partial(_in_8_bits, copied), "patchmatch")


def _in_8_bits(fill: Fill, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fill by a function for uint8 pictures (H, W, 1 or 3); pictures of other channels are filled one by one."""
    channels = image.shape[-1]
    levels = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    parts = [levels] if channels in (1, 3) else np.split(levels, channels, -1)
    return np.concatenate([fill(np.ascontiguousarray(part), hole).reshape(part.shape) for part in parts], -1) / 255


def _filled(problem: Problem, fill: Fill, baseline: str) -> Tensor:
    """Fill by `fill`, which takes channels (H, W, c) that share their holes, and those holes (H, W), never empty.

    What is known stays as it is, to the last bit, whatever `fill` makes of it.
    """
    check_task(problem, Masking, baseline)
    image, holes = array_of(problem), (problem.operator.hole[0] > 0).cpu().numpy()
    if holes.all(axis=(1, 2)).any():
        raise ValueError(f"baseline={baseline}: nothing is known of one channel: leave some of its pixels known")
    parts = [np.where(hole[..., None], fill(part, hole), part) if hole.any() else part
             for part, hole in zip(np.split(image, len(holes), axis=-1), holes, strict=True)]
    return image_of(np.concatenate(parts, -1), problem)
