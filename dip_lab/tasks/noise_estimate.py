"""What the noise of a picture is like, as its flat patches show it: how strong, how dark or bright it is where it is
strong, and how much of it neighbouring pixels and the channels of a pixel share.
"""

import functools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import gammaincinv
from torch import Tensor

from dip_lab.tasks.noise import estimated_std

SIDE, STEP = 16, 8  # px: patches, and from one to the next
MOST = 20_000  # patches; of larger pictures, every so many
LOW = 0.15  # the patches that vary least are flat: this share of all
FLAT = 0.5  # share of flat patches that is assumed, so that the lowest LOW are the lowest LOW / FLAT of the flat ones
BRIGHTNESS = tuple(round(0.05 + 0.1 * i, 2) for i in range(10))  # of the means at which the level is estimated
REACH = 0.12  # a level is estimated from patches whose mean is this near
PRIOR = 20  # patches: as much as the channel's own level weighs among those
HIGHEST = 3  # a level at one brightness is at most this many times the channel's variance
SHARED = 0.5  # from this correlation on, neighbouring pixels share the noise
WHITE = 0.2  # below it, the noise is as good as white


@dataclass(frozen=True)
class NoiseEstimate:
    """The noise of an observation, all values in its own units ([0, 1]).

    Attributes:
        std: root of the mean square over the picture.
        channels: the same for each channel.
        correlation: of a pixel's noise with that of the next one, below it or beside it, in [0, 1).
        channel_correlation: mean over the pairs of channels; None for grey.
        by_brightness: for each channel, the standard deviation where the picture is as bright as `BRIGHTNESS` says.
    """

    std: float
    channels: tuple[float, ...]
    correlation: float
    channel_correlation: float | None
    by_brightness: tuple[tuple[float, ...], ...]

    @property
    def is_shared(self) -> bool:
        """Whether neighbours share so much of it that one tells what the other's noise is."""
        return self.correlation >= SHARED

    def expected_square(self, clean: Tensor) -> Tensor:
        """Mean of (y - clean)^2 for each value of (N, C, H, W) in [0, 1], like that of the laws in noise.py."""
        levels = clean.new_tensor(self.by_brightness).square()
        place = (clean.clamp(0, 1) - BRIGHTNESS[0]) * (len(BRIGHTNESS) - 1) / (BRIGHTNESS[-1] - BRIGHTNESS[0])
        place = place.clamp(0, len(BRIGHTNESS) - 1)
        lower = place.floor().clamp(max=len(BRIGHTNESS) - 2)
        channel = torch.arange(clean.shape[1], device=clean.device).view(1, -1, 1, 1)
        below, above = levels[channel, lower.long()], levels[channel, lower.long() + 1]
        return torch.lerp(below, above, place - lower)

    def as_dict(self) -> dict[str, Any]:
        """For result.json: standard deviations in 8-bit units."""
        def in_8_bit(value: Any) -> Any:
            return round(255 * value, 2) if isinstance(value, float) else [in_8_bit(each) for each in value]

        values = asdict(self)
        stds = {key: in_8_bit(values[key]) for key in ("std", "channels", "by_brightness")}
        rest = {key: None if values[key] is None else round(values[key], 3)
                for key in ("correlation", "channel_correlation")}
        return {**stds, **rest, "brightness": list(BRIGHTNESS)}

    def __str__(self) -> str:
        """One line for the person at the prompt."""
        line = f"noise about {255 * self.std:.1f} of 255"
        if len(self.channels) == 3:
            line += " ({0} {3:.1f}, {1} {4:.1f}, {2} {5:.1f})".format(*"RGB", *(255 * std for std in self.channels))
        if self.is_shared:
            return line + f", shared by neighbouring pixels (correlation {self.correlation:.2f}), as a camera's is"
        if self.correlation < WHITE:
            return line + f", independent from pixel to pixel (correlation {self.correlation:.2f})"
        return line + f", partly shared by neighbouring pixels, or fine texture (correlation {self.correlation:.2f})"


def estimate_noise(observation: Tensor, known: Tensor | None = None) -> NoiseEstimate | None:
    """Estimate the noise of a picture on patches of 16 x 16 px that vary least once a plane is subtracted.

    The variance of the flattest patches is that of the noise, whether or not it is white (Amer and Dubois, Fast and
    reliable structure-oriented video noise estimation, 2005; by brightness: Liu, Freeman, Szeliski and Kang,
    Noise estimation from a single image, 2006). Both it and the correlation are corrected for the plane and for taking
    the lowest ones, as if the noise were white noise blurred by a Gaussian. Weak noise on a picture that is texture
    everywhere is overestimated, and then looks shared. See docs/photos.md for what it makes of known noise.

    Args:
        observation: (1, C, H, W).
        known: 1 where it was measured, broadcastable to it; patches with other pixels are left out.

    Returns:
        None if no four patches are left.
    """
    pixels = observation[0].detach().float().cpu()
    if (seen := _look(pixels, known)) is None:
        return None
    flat = seen.flattest(LOW)
    scaled = seen.residual[flat] / torch.from_numpy(seen.expected[flat]).float().sqrt()[:, :, None, None]
    correlation, shrinking, freedom = _if_blurred(neighbours(scaled))
    # The quantile of a variance with so many degrees of freedom, instead of the variance itself.
    levels = seen.levels / (shrinking * 2 * gammaincinv(freedom / 2, LOW / FLAT) / freedom)
    estimate = _estimate(pixels, levels, correlation, _channel_correlation(scaled))
    if estimate.correlation < WHITE and (white := estimated_std(observation, known)) < estimate.std:
        return _estimate(pixels, levels * (white / estimate.std) ** 2, correlation, estimate.channel_correlation)
    return estimate


def flat_patches(observation: Tensor, known: Tensor | None, share: float) -> tuple[Tensor, Tensor] | None:
    """Where a picture is flat, and what varies there.

    Args:
        observation: (1, C, H, W).
        known: as in `estimate_noise`.
        share: of the patches, the flattest of which are taken.

    Returns:
        (F, C, 16, 16): the index of each value in the flattened observation, and the value without its patch's plane.
        None if no four patches are left.
    """
    if (seen := _look(observation[0].detach().float().cpu(), known)) is None:
        return None
    flat = torch.from_numpy(seen.flattest(share))
    return seen.places[flat], seen.residual[flat]


@dataclass(frozen=True)
class _Seen:
    """Patches without clipped values and holes.

    Attributes:
        places: (P, C, 16, 16), of each value in the flattened picture.
        residual: the same values, without a plane.
        variance: (P, C) of the residual.
        expected: (P, C), that of noise on a flat patch as bright as this one.
        levels: (C, brightness) behind it, not corrected.
    """

    places: Tensor
    residual: Tensor
    variance: np.ndarray
    expected: np.ndarray
    levels: np.ndarray

    def flattest(self, share: float) -> np.ndarray:
        """Numbers of the patches that vary least, compared with what is expected; at least four."""
        return np.argsort((self.variance / self.expected).mean(1))[:max(4, int(share * len(self.variance)))]


def _look(pixels: Tensor, known: Tensor | None) -> _Seen | None:
    """(C, H, W) in patches; None if fewer than four are known."""
    places = _patches(torch.arange(pixels.numel()).view_as(pixels))
    if known is not None:
        seen = known.detach().float().cpu().expand(1, *pixels.shape).flatten()[places].flatten(1).amin(1) > 0
        places = places[seen]
    if len(places) < 4:
        return None
    places = places[_unclipped(pixels.flatten()[places])]
    patches = pixels.flatten()[places]
    mean, residual = patches.mean((2, 3)).numpy(), _without_plane(patches)
    variance = residual.square().sum((2, 3)).double().numpy() / (SIDE**2 - 3)
    levels = np.stack([_levels(*pair) for pair in zip(variance.T, mean.T, strict=True)])
    expected = np.stack([np.interp(of, BRIGHTNESS, level) for of, level in zip(mean.T, levels, strict=True)], 1)
    return _Seen(places, residual, variance, expected, levels)


def _estimate(pixels: Tensor, levels: np.ndarray, correlation: float, between: float | None) -> NoiseEstimate:
    squares = [float(np.interp(channel.numpy(), BRIGHTNESS, level).mean())
               for channel, level in zip(pixels, levels, strict=True)]
    return NoiseEstimate(float(np.mean(squares)) ** 0.5, tuple(square**0.5 for square in squares), correlation, between,
                         tuple(tuple(float(value) ** 0.5 for value in level) for level in levels))


def _patches(pixels: Tensor) -> Tensor:
    """(P, C, 16, 16) of (C, H, W)."""
    channels, height, width = pixels.shape
    if min(height, width) < SIDE:
        return pixels.new_empty(0, channels, SIDE, SIDE)
    step = max(STEP, round((height * width / MOST) ** 0.5))
    return pixels.unfold(1, SIDE, step).unfold(2, SIDE, step).permute(1, 2, 0, 3, 4).flatten(0, 1)


def _unclipped(patches: Tensor) -> Tensor:
    """Numbers of those with noise in every channel and hardly a black or white value; all if that leaves too few."""
    clipped = ((patches <= 0.004) | (patches >= 0.996)).float().flatten(1).mean(1)
    noisy = patches.flatten(2).var(2).amin(1) > 1e-7
    good = ((clipped < 0.02) & noisy).nonzero().flatten()
    return good if len(good) >= 20 else torch.arange(len(patches))


def _without_plane(patches: Tensor) -> Tensor:
    plane = torch.from_numpy(_plane()).float()
    flat = patches.flatten(2)
    return (flat - (flat @ plane) @ plane.T).view_as(patches)


@functools.cache
def _plane() -> np.ndarray:
    """(256, 3): orthonormal, what a plane over a patch is made of."""
    down, across = np.mgrid[:SIDE, :SIDE]
    return np.linalg.qr(np.stack([np.ones(SIDE**2), down.ravel(), across.ravel()], 1))[0]


def _levels(variance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The low quantile of one channel's variances at each brightness, drawn to that of all where there are few."""
    overall = np.quantile(variance, LOW)
    levels = np.empty(len(BRIGHTNESS))
    for i, brightness in enumerate(BRIGHTNESS):
        weight = np.clip(1 - np.abs(mean - brightness) / REACH, 0, None)
        count = weight.sum()
        level = min(_quantile(variance, weight), HIGHEST * overall) if count > 3 else overall
        levels[i] = np.exp((count * np.log(level + 1e-12) + PRIOR * np.log(overall + 1e-12)) / (count + PRIOR))
    return levels


def _quantile(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, LOW * total[-1])])


def neighbours(residual: Tensor) -> float:
    """Correlation of neighbouring pixels in (N, C, H, W) of mean 0."""
    beside = (residual[..., 1:] * residual[..., :-1]).mean() + (residual[..., 1:, :] * residual[..., :-1, :]).mean()
    return float(beside / 2 / residual.square().mean().clamp_min(1e-12))


def _channel_correlation(residual: Tensor) -> float | None:
    channels = residual.shape[1]
    if channels == 1:
        return None
    values = residual.transpose(0, 1).flatten(1)
    covariance = values @ values.T
    deviation = covariance.diagonal().sqrt().clamp_min(1e-12)
    related = covariance / deviation / deviation[:, None]
    return float((related.sum() - related.trace()) / (channels * (channels - 1)))


def _if_blurred(measured: float) -> tuple[float, float, float]:
    """For blurred white noise whose neighbours seem so related without a plane: how related they are, what is left of
    the variance without the plane, and its degrees of freedom in a patch.
    """
    related, shrinking, seeming, freedom = _blurred()
    return tuple(float(np.interp(measured, seeming, of)) for of in (related, shrinking, freedom))


@functools.cache
def _blurred() -> tuple[np.ndarray, ...]:
    place = np.stack(np.mgrid[:SIDE, :SIDE], -1).reshape(-1, 2)
    squared = ((place[:, None] - place) ** 2).sum(-1)
    rest = np.eye(SIDE**2) - _plane() @ _plane().T
    beside = squared == 1
    rows = []
    for related in np.linspace(0, 0.94, 20):
        covariance = rest @ np.where(squared == 0, 1.0, related ** squared.astype(float)) @ rest
        variance = np.trace(covariance)
        seeming = covariance[beside].mean() / (variance / SIDE**2)
        rows.append((related, variance / (SIDE**2 - 3), seeming, variance**2 / np.square(covariance).sum()))
    return tuple(np.array(rows).T)

