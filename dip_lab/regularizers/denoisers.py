"""Denoisers for RED: any callable array -> array, both (H, W, C) float32 in [0, 1], that uses one thread."""

import numpy as np
from skimage import restoration

from dip_lab.checks import flag, integer, number


class NonLocalMeans:
    """Mean over the pixels of a window whose patches look alike, all channels together.

    As in DeepRED, https://arxiv.org/abs/1903.10176, except that DeepRED filters each channel on its own.

    Args:
        sigma: standard deviation of the noise to remove, in 8-bit units.
        h: how different a patch may be, in units of sigma; larger is smoother.
        patch_size: side of the compared patches.
        patch_distance: how far away patches are searched.
        fast: give all pixels of a patch the same weight; otherwise those in its middle weigh more, which is many
            times slower.

    Raises:
        ValueError: `sigma` or `h` is not positive, `patch_size` or `patch_distance` is below 1, or `fast` is not true
            or false.
    """

    def __init__(self, sigma: float, h: float, patch_size: int, patch_distance: int, fast: bool) -> None:
        self.sigma = number("regularizer.red.denoiser.sigma", sigma, 0, above=True) / 255
        self.h = number("regularizer.red.denoiser.h", h, 0, above=True) * self.sigma
        self.patch_size = integer("regularizer.red.denoiser.patch_size", patch_size, 1)
        self.patch_distance = integer("regularizer.red.denoiser.patch_distance", patch_distance, 1)
        self.fast = flag("regularizer.red.denoiser.fast", fast)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        denoised = restoration.denoise_nl_means(
            image, self.patch_size, self.patch_distance, self.h, self.fast, self.sigma, channel_axis=-1
        )
        return denoised.reshape(image.shape)  # scikit-image drops a single channel


class TVChambolle:
    """The nearest picture with a small total variation. https://doi.org/10.1023/B:JMIV.0000011325.36760.1e

    Args:
        weight: larger is smoother; about twice the standard deviation of the noise, in [0, 1] units.

    Raises:
        ValueError: `weight` is not a positive number.
    """

    def __init__(self, weight: float) -> None:
        self.weight = number("regularizer.red.denoiser.weight", weight, 0, above=True)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return restoration.denoise_tv_chambolle(image, self.weight, channel_axis=-1)
