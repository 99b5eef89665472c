"""Classical denoisers. They estimate the noise from the observation and never know it."""

import numpy as np
from torch import Tensor

from dip_lab.baselines.arrays import array_of, check_task, image_of
from dip_lab.checks import flag, integer, number
from dip_lab.problem import Problem
from dip_lab.tasks.denoise import Identity

LEAST_STD = 1e-4  # a flat picture has no noise, and non-local means divides by its standard deviation
BM3D_BLOCK = 8  # px; the package ends the whole process when the picture is a single block


def nlm(problem: Problem, patch: int, distance: int, h: float, fast: bool, per_channel: bool) -> Tensor:
    """Non-local means: the mean over the pixels of a window whose patches look alike.

    Buades, Coll, Morel, https://doi.org/10.1109/CVPR.2005.38

    Args:
        problem: denoising, of any noise.
        patch: side of the compared patches, px.
        distance: how far away patches are searched, px.
        h: how different a patch may be, in standard deviations of the noise; larger is smoother.
        fast: give all pixels of a patch the same weight; otherwise those in its middle weigh more, which is many
            times slower.
        per_channel: filter each channel on its own; otherwise patches are compared in all channels together.

    Returns:
        (1, C, H, W) float32 in [0, 1].

    Raises:
        ValueError: the task is not denoising; `patch` or `distance` is below 1; `h` is not positive; `fast` or
            `per_channel` is not true or false.
    """
    from skimage.restoration import denoise_nl_means

    check_task(problem, Identity, "nlm")
    patch, distance = integer("baseline.patch", patch, 1), integer("baseline.distance", distance, 1)
    h, fast = number("baseline.h", h, 0, above=True), flag("baseline.fast", fast)
    noisy, std = array_of(problem), _noise_std(problem)

    def denoised(array: np.ndarray, channel_axis: int | None) -> np.ndarray:
        return denoise_nl_means(array, patch, distance, h * std, fast, std, channel_axis=channel_axis)

    if flag("baseline.per_channel", per_channel):
        return image_of(np.stack([denoised(plane, None) for plane in np.moveaxis(noisy, -1, 0)], -1), problem)
    return image_of(denoised(noisy, -1), problem)


def median(problem: Problem, size: int) -> Tensor:
    """The median of `size` x `size` px in each channel, mainly for impulse noise; (1, C, H, W) in [0, 1].

    Raises:
        ValueError: the task is not denoising, or `size` is below 1.
    """
    from scipy.ndimage import median_filter

    check_task(problem, Identity, "median")
    size = integer("baseline.size", size, 1)
    return image_of(median_filter(array_of(problem), (size, size, 1)), problem)


def wavelet(problem: Problem, wavelet: str, levels: int) -> Tensor:
    """Wavelet coefficients shrunk by BayesShrink, in YCbCr for a colour picture; (1, C, H, W) in [0, 1].

    Chang, Yu, Vetterli, https://doi.org/10.1109/83.862633

    Args:
        problem: denoising; made for white noise.
        wavelet: an orthogonal wavelet of PyWavelets, such as sym4 or db2.
        levels: of the decomposition; fewer if the picture is too small for them.

    Raises:
        ValueError: the task is not denoising; the wavelet is unknown or not orthogonal; `levels` is below 1.
    """
    import pywt
    from skimage.restoration import denoise_wavelet

    check_task(problem, Identity, "wavelet")
    if wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(wavelet).orthogonal:
        raise ValueError(f"baseline.wavelet={wavelet}: give an orthogonal wavelet of PyWavelets, such as sym4 or db2")
    noisy = array_of(problem)
    levels = min(integer("baseline.levels", levels, 1), pywt.dwtn_max_level(noisy.shape[:2], wavelet))
    denoised = denoise_wavelet(noisy, _noise_std(problem), wavelet, "soft", levels, noisy.shape[2] == 3, "BayesShrink",
                               channel_axis=-1)
    return image_of(denoised, problem)


def bm3d(problem: Problem) -> Tensor:
    """Block matching and 3-D filtering, CBM3D for a colour picture; (1, C, H, W) in [0, 1].

    Dabov, Foi, Katkovnik, Egiazarian, https://doi.org/10.1109/TIP.2007.901238, by the authors' package `bm3d`.

    Raises:
        ValueError: the task is not denoising; the package, whose licence allows non-commercial use only, is not
            installed; the picture is not larger than 8 x 8 px.
    """
    check_task(problem, Identity, "bm3d")
    try:
        import bm3d as package
    except ImportError as error:
        raise ValueError("baseline=bm3d needs the package bm3d, free for non-commercial use only (its licence): "
                         "pip install bm3d") from error
    noisy, std = array_of(problem), _noise_std(problem)
    if max(noisy.shape[:2]) <= BM3D_BLOCK:
        raise ValueError(f"baseline=bm3d needs more than {BM3D_BLOCK} x {BM3D_BLOCK} px: try baseline=nlm")
    profile = package.BM3DProfile()
    profile.num_threads = 1  # as fast for one picture; more threads may change the order of sums, so the result
    if noisy.shape[2] == 3:
        return image_of(package.bm3d_rgb(noisy, std, profile), problem)
    return image_of(package.bm3d(noisy[..., 0], std, profile), problem)


def _noise_std(problem: Problem) -> float:
    return max(problem.noise_std() or 0, LEAST_STD)
