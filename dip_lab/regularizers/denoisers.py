"""Denoisers for RED and plug and play: any callable array -> array, both (H, W, C) float32 in [0, 1]."""

from collections.abc import Mapping

import numpy as np
import torch
from skimage import restoration
from torch import Tensor, nn

from dip_lab.checks import flag, integer, number
from dip_lab.training.checkpoint import by_channels, load
from dip_lab.training.restorer import LEVELS

TILE, OVERLAP = 512, 32  # px: larger images are denoised in windows


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


class BM3D:
    """Block matching and 3-D filtering, CBM3D for a colour picture. https://doi.org/10.1109/TIP.2007.901238

    Args:
        sigma: standard deviation of the noise to remove, in 8-bit units.

    Raises:
        ValueError: `sigma` is not positive, or the package `bm3d` is not installed.
    """

    def __init__(self, sigma: float) -> None:
        self.sigma = number("regularizer.red.denoiser.sigma", sigma, 0, above=True) / LEVELS
        try:
            import bm3d
        except ImportError as error:
            raise ValueError("regularizer/red/denoiser=bm3d needs the package bm3d, free for non-commercial use only "
                             "(its licence): pip install bm3d") from error
        self.package, self.profile = bm3d, bm3d.BM3DProfile()
        self.profile.num_threads = 1  # more may change the order of sums, so the result

    def __call__(self, image: np.ndarray) -> np.ndarray:
        run, values = (self.package.bm3d_rgb, image) if image.shape[2] == 3 else (self.package.bm3d, image[..., 0])
        return run(values, self.sigma, self.profile).reshape(image.shape).astype(np.float32)


class Trained:
    """A denoiser that scripts/train.py trained, or the one that comes with dip_lab; it is never differentiated.

    One for grey pictures denoises each channel of a colour picture on its own.

    Args:
        checkpoint: the folder of a training, or a file of weights; or {"grey": ..., "colour": ...}.
        sigma: standard deviation of the noise to remove, in 8-bit units; a network without a noise map, and with a
            range of sigmas, is not told.

    Raises:
        ValueError: `sigma` is outside the range that the denoiser was trained for; it was trained for another task, or
            cannot be read.
    """

    def __init__(self, checkpoint: str | Mapping[str, str] | None, sigma: float) -> None:
        key = "regularizer.red.denoiser"
        if not checkpoint:
            raise ValueError(f"{key}.checkpoint=null: give {key}.checkpoint=outputs/train/<run>, or a file of weights")
        self.files = by_channels(f"{key}.checkpoint", checkpoint)
        self.sigma = number(f"{key}.sigma", sigma, 0, above=True)
        self.trained = {file: load(file) for file in self.files.values()}
        for file, trained in self.trained.items():
            card, given = trained.card, f"{key}.checkpoint={file}"
            if card.task != "denoise":
                raise ValueError(f"{given}: was trained for task={card.task}: give a denoiser")
            low, high = card.sigma or (0, LEVELS)
            if not low - 1 <= self.sigma <= high + 1:
                spelled = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                raise ValueError(f"{key}.sigma={sigma:g}: {given} was trained for sigma {spelled}: give another sigma, "
                                 "or another checkpoint")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        trained = self.trained[self.files["grey" if image.shape[2] == 1 else "colour"]]
        picture = _tensor(image)
        level = picture.new_full((1, 1, *picture.shape[2:]), self.sigma / LEVELS)
        return _array(trained.restored(picture, level if trained.card.noise_map else level[:, :0], TILE, OVERLAP))


class Deepinv:
    """Any denoiser of deepinv, https://deepinv.github.io, or another module whose `forward` takes (x, sigma).

    Args:
        model: takes images (1, C, H, W) in [0, 1] and the standard deviation of their noise in that unit.
        sigma: of the noise to remove, in 8-bit units.

    Raises:
        ValueError: `sigma` is not positive.
    """

    def __init__(self, model: nn.Module, sigma: float) -> None:
        self.model, self.sigma = model.eval(), number("regularizer.red.denoiser.sigma", sigma, 0, above=True) / LEVELS

    def __call__(self, image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return _array(self.model(_tensor(image), self.sigma))


def _tensor(image: np.ndarray) -> Tensor:
    """(H, W, C) as (1, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]


def _array(image: Tensor) -> np.ndarray:
    """(1, C, H, W) as (H, W, C) in [0, 1]."""
    return image[0].float().clamp(0, 1).permute(1, 2, 0).numpy()
