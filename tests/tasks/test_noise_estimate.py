"""The estimate of a picture's noise, on noise whose level and correlation are known."""

import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from shared import DATA, shared

from dip_lab.data.images import read_picture
from dip_lab.tasks.noise import Poisson
from dip_lab.tasks.noise_estimate import BRIGHTNESS, estimate_noise

SIDE = 128


def noise_of(blur: float, shared_by_channels: float = 0.0) -> torch.Tensor:
    """(1, 3, 128, 128) of standard deviation 1, neighbours related as by a Gaussian blur."""
    random = np.random.default_rng(0)
    own, common = random.standard_normal((3, SIDE, SIDE)), random.standard_normal((1, SIDE, SIDE))
    noise = np.sqrt(1 - shared_by_channels) * own + np.sqrt(shared_by_channels) * common
    noise = gaussian_filter(noise, (0, blur, blur), mode="wrap") if blur else noise
    return torch.from_numpy(noise / noise.std()).float()[None]


def picture() -> torch.Tensor:
    """A slope, a disc and, in a quarter, fine texture."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    grey = 0.3 + 0.4 * x + 0.2 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.06)
    grey[:64, :64] += 0.1 * np.sin(np.arange(64)[:, None] * 1.3) * np.sin(np.arange(64) * 0.9)
    return torch.from_numpy(grey).float().expand(1, 3, SIDE, SIDE)


def true_correlation(noise: torch.Tensor) -> float:
    return float(((noise[..., 1:] * noise[..., :-1]).mean() + (noise[..., 1:, :] * noise[..., :-1, :]).mean()) / 2)


@pytest.mark.parametrize("blur", [0, 0.6, 1, 2])
@pytest.mark.parametrize("sigma", [15, 30])
def test_level_and_correlation(blur, sigma):
    noise = noise_of(blur)
    estimate = estimate_noise(picture() + sigma / 255 * noise)
    assert estimate.std * 255 == pytest.approx(sigma, rel=0.1)
    assert estimate.correlation == pytest.approx(true_correlation(noise), abs=0.07)
    assert estimate.is_shared == (blur >= 1)


def test_what_the_channels_share():
    estimate = estimate_noise(picture() + 0.1 * noise_of(0, shared_by_channels=0.6))
    assert estimate.channel_correlation == pytest.approx(0.6, abs=0.06)


def test_each_channel_has_its_level():
    estimate = estimate_noise(picture() + torch.tensor([0.03, 0.06, 0.12]).view(3, 1, 1) * noise_of(0))
    assert estimate.channels == pytest.approx((0.03, 0.06, 0.12), rel=0.12)


def test_level_by_brightness_is_a_law_of_noise():
    clean = torch.linspace(0.1, 0.9, 192).expand(1, 1, 192, 192).contiguous()
    law = Poisson(100, clip=False)
    estimate = estimate_noise(law(clean, seed=0))
    values = torch.tensor([0.3, 0.5, 0.7]).view(1, 1, 1, 3)
    assert torch.allclose(estimate.expected_square(values), law.expected_square(values), rtol=0.3)
    assert estimate.channel_correlation is None


def test_law_follows_its_knots():
    estimate = estimate_noise(picture() + 0.1 * noise_of(1))
    knots = torch.tensor(BRIGHTNESS).expand(1, 3, 1, -1)
    expected = torch.tensor(estimate.by_brightness).square()
    assert torch.allclose(estimate.expected_square(knots)[0, :, 0], expected, rtol=1e-4)
    ends = estimate.expected_square(torch.tensor([-1.0, 0.0, 1.0, 2.0]).expand(1, 3, 1, 4))[0, :, 0]
    assert torch.allclose(ends, expected[:, [0, 0, -1, -1]])


def test_holes_do_not_count():
    noisy, known = picture() + 0.1 * noise_of(1), torch.ones(1, 1, SIDE, SIDE)
    known[..., 40:80, 40:80] = 0
    estimate = estimate_noise(noisy * known, known)
    assert estimate.std == pytest.approx(0.1, rel=0.12) and estimate.is_shared


def test_too_little_to_look_at():
    assert estimate_noise(torch.rand(1, 3, 15, 40)) is None
    assert estimate_noise(torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)) is None


def test_a_picture_without_noise():
    estimate = estimate_noise(torch.full((1, 3, 32, 32), 0.5))
    assert estimate.std < 1e-3 and not estimate.is_shared


def test_what_a_person_reads():
    estimate = estimate_noise(picture() + 0.1 * noise_of(1))
    assert str(estimate).startswith("noise about 2") and "shared by neighbouring pixels" in str(estimate)
    assert "independent" in str(estimate_noise(picture() + 0.1 * noise_of(0)))
    values = json.loads(json.dumps(estimate.as_dict()))
    assert values["std"] == pytest.approx(25.5, rel=0.1) and len(values["by_brightness"]) == 3


@shared("real/cc15")
@pytest.mark.parametrize("name", ["d600_iso3200_1", "d800_iso6400_1", "5dmark3_iso3200_3"])
def test_a_cameras_noise(name):
    real, mean = (read_picture(DATA / f"real/cc15/{name}_{kind}.png").pixels[..., 160:352, 160:352]
                  for kind in ("real", "mean"))
    estimate = estimate_noise(real)
    assert estimate.is_shared
    assert estimate.std == pytest.approx(float((real - mean).square().mean().sqrt()), rel=0.35)
