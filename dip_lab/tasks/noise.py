"""Noise laws: callables (clean, seed) -> observation, drawn on the CPU so the same on every device.

Each also says how far observations are from the clean ones: `expected_square` is the mean of (y - clean)^2 for each
value in [0, 1]. It includes clipping, which at sigma 50 takes a sixth of the energy away.
"""

import math
import statistics

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dip_lab.checks import number
from dip_lab.randomness import generator_of

PUBLISHED = 25  # sigma of the denoising experiments of Deep Image Prior, in 8-bit units


class NoNoise:
    """The clean observation itself."""

    degrades = False

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Clean."""
        return clean

    def expected_square(self, clean: Tensor) -> Tensor:
        return torch.zeros_like(clean)


class Gaussian:
    """y = x + s n with n ~ N(0, 1), s = sigma / 255; `clip` to [0, 1] as in the published data.

    Where `sigma` is None it is 25.
    """

    def __init__(self, sigma: float | None, clip: bool):
        self.std = _std(sigma)
        self.clip = clip

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`."""
        return _clipped(clean + self.std * _normal(clean, seed), self.clip)

    def expected_square(self, clean: Tensor) -> Tensor:
        std = torch.full_like(clean, self.std)
        return _expected_square(clean, std, 0, 1) if self.clip else std.square()


class UnlessNoisy(Gaussian):
    """As Gaussian; where `sigma` is None, nobody asked for it.

    Attributes:
        optional: the task only adds it to a picture that is known to be clean.
    """

    def __init__(self, sigma: float | None, clip: bool):
        super().__init__(sigma, clip)
        self.optional = sigma is None


class SharedGaussian(Gaussian):
    """As Gaussian, with the same noise in every channel, as in the Deep Decoder's notebooks."""

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`."""
        return _clipped(clean + self.std * _normal(clean[:, :1], seed), self.clip)


class Kair(Gaussian):
    """As Gaussian, not clipped and the same for every picture of a size: the draws of KAIR's tests of denoisers.

    It calls `np.random.seed(0)` before each picture, https://github.com/cszn/KAIR, so the seed of a cell has no effect.
    """

    def __init__(self, sigma: float | None):
        super().__init__(sigma, clip=False)

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`; drawn as (H, W, C), so that the channels of a pixel follow each other."""
        draws = np.random.RandomState(0).normal(0, self.std, (*clean.shape[-2:], clean.shape[1]))
        return clean + torch.from_numpy(draws).permute(2, 0, 1).to(clean)


class Speckle:
    """y = x (1 + s n) with n ~ N(0, 1), s = sigma / 255: sigma is a white pixel's noise in 8-bit units."""

    def __init__(self, sigma: float | None, clip: bool):
        self.std = _std(sigma)
        self.clip = clip

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`."""
        return _clipped(clean * (1 + self.std * _normal(clean, seed)), self.clip)

    def expected_square(self, clean: Tensor) -> Tensor:
        std = self.std * clean
        return _expected_square(clean, std, 0, 1) if self.clip else std.square()


class Poisson:
    """Shot noise y = P(g x) / g, where g = `photons` is the mean count of a white pixel."""

    def __init__(self, photons: float, clip: bool):
        self.photons = number("task.noise.photons", photons, 0, above=True)
        self.clip = clip

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`; negative values (of a resampled clean observation) count as 0."""
        rate = clean.detach().cpu().clamp(min=0) * self.photons
        counts = torch.poisson(rate, generator=generator_of(seed, "noise")).to(clean)
        return _clipped(counts / self.photons, self.clip)

    def expected_square(self, clean: Tensor) -> Tensor:
        """As for Gaussian noise of the same variance; no count is clipped at 0."""
        variance = clean / self.photons
        return _expected_square(clean, variance.sqrt(), -math.inf, 1) if self.clip else variance


class Impulse:
    """Salt and pepper: a `fraction` of the values, or of whole pixels, becomes 0 or 1 with equal chance."""

    def __init__(self, fraction: float, per_pixel: bool):
        self.fraction = number("task.noise.fraction", fraction, 0, 1)
        self.per_pixel = per_pixel

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`."""
        shape = (clean.shape[0], 1, *clean.shape[2:]) if self.per_pixel else clean.shape
        draw = torch.rand(shape, generator=generator_of(seed, "noise")).to(clean)
        noisy = torch.where(draw < self.fraction, torch.ones_like(clean), clean)
        return torch.where(draw < self.fraction / 2, torch.zeros_like(clean), noisy)

    def expected_square(self, clean: Tensor) -> Tensor:
        return self.fraction / 2 * (clean.square() + (1 - clean).square())


class Shuffled:
    """The picture's own pixels in random order: its colours without its structure."""

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Shaped like `clean`; a pixel keeps its channels together."""
        order = torch.randperm(clean.shape[-2] * clean.shape[-1], generator=generator_of(seed, "noise"))
        return clean.flatten(2)[..., order.to(clean.device)].reshape(clean.shape)

    def expected_square(self, clean: Tensor) -> Tensor:
        mean = clean.mean((-2, -1), keepdim=True)
        return (clean - mean).square() + (clean - mean).square().mean((-2, -1), keepdim=True)


class Uniform:
    """Nothing of the picture: every value is drawn from U[0, 1)."""

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Shaped like `clean`."""
        return torch.rand(clean.shape, generator=generator_of(seed, "noise")).to(clean)

    def expected_square(self, clean: Tensor) -> Tensor:
        return clean.square() - clean + 1 / 3


def estimated_std(observation: Tensor, known: Tensor | None = None) -> float:
    """Standard deviation of white noise: median of |HH| over 0.6745, HH the finest diagonal Haar coefficients.

    Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994. The mean over the channels.

    Args:
        observation: (1, C, H, W).
        known: 1 where it was measured, broadcastable to it; the others' coefficients are left out. NaN if none is left.

    >>> import torch
    >>> noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> round(estimated_std(0.5 + 0.1 * noise), 1)
    0.1
    """
    height, width = (side // 2 * 2 for side in observation.shape[-2:])
    even, odd = observation[0, :, :height:2, :width].cpu(), observation[0, :, 1:height:2, :width].cpu()
    diagonal = (even[..., ::2] - even[..., 1::2] - odd[..., ::2] + odd[..., 1::2]) / 2
    if known is not None:
        holes = F.max_pool2d(1 - known.cpu().expand_as(observation), 2)[0]
        diagonal = diagonal.masked_fill(holes > 0, math.nan)
    return statistics.fmean(float(channel.abs().nanmedian()) / 0.6745 for channel in diagonal)


def _std(sigma: float | None) -> float:
    return number("task.noise.sigma (or task.sigma)", PUBLISHED if sigma is None else sigma, 0) / 255


def _normal(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=generator_of(seed, "noise")).to(like)


def _clipped(image: Tensor, clip: bool) -> Tensor:
    return image.clamp(0, 1) if clip else image


def _expected_square(clean: Tensor, std: Tensor, low: float, high: float) -> Tensor:
    """E (clip(clean + std n) - clean)^2 for n ~ N(0, 1): the middle of the bell, and the two clipped tails."""
    std = std.clamp(min=1e-6)
    square = torch.zeros_like(clean)
    inside = torch.ones_like(clean)
    for bound, sign in ((low, -1), (high, 1)):
        if math.isfinite(bound):
            distance = sign * (bound - clean) / std
            tail = torch.special.ndtr(-distance)
            density = torch.exp(-distance.square() / 2) / math.sqrt(2 * math.pi)
            square += (bound - clean).square() * tail
            inside -= tail + distance * density
    return square + std.square() * inside
