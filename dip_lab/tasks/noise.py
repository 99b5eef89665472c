"""Noise laws: callables (clean, seed) -> observation, drawn on the CPU so the same on every device."""

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.randomness import generator_of


class NoNoise:
    """The clean observation itself."""

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Clean."""
        return clean


class Gaussian:
    """y = x + s n with n ~ N(0, 1), s = sigma / 255; `clip` to [0, 1] as in the published data."""

    def __init__(self, sigma: float, clip: bool):
        self.std = number("task.noise.sigma (or task.sigma)", sigma, 0) / 255
        self.clip = clip

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`."""
        return _clipped(clean + self.std * _normal(clean, seed), self.clip)


class Speckle:
    """y = x (1 + s n) with n ~ N(0, 1), s = sigma / 255: sigma is a white pixel's noise in 8-bit units."""

    def __init__(self, sigma: float, clip: bool):
        self.std = number("task.noise.sigma (or task.sigma)", sigma, 0) / 255
        self.clip = clip

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`."""
        return _clipped(clean * (1 + self.std * _normal(clean, seed)), self.clip)


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


def _normal(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=generator_of(seed, "noise")).to(like)


def _clipped(image: Tensor, clip: bool) -> Tensor:
    return image.clamp(0, 1) if clip else image
