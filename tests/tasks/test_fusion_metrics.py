"""Golden values in closed form, and NumPy and scikit-image as independent evidence."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel
from skimage.measure import shannon_entropy
from skimage.metrics import normalized_mutual_information, structural_similarity

from dip_lab.tasks.fusion_metrics import (
    all_of,
    average_gradient,
    correlations_of_differences,
    edges_kept,
    entropy,
    likeness,
    mutual_information,
    spatial_frequency,
    standard_deviation,
    visual_fidelity,
)

MOST = 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4))  # of Qabf: ratio 1 and angle 1


def levels(seed, height=45, width=53, high=256):
    return torch.randint(high, (height, width), generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def three():
    """A fused picture and two sources that each have a part of it."""
    a, b = levels(0), levels(1)
    return ((a + b) / 2).round(), torch.stack([a, b])


def test_entropy():
    assert entropy(torch.full((9, 9), 7.0).double()) == 0
    assert entropy(torch.arange(256.0).double().reshape(16, 16)) == 8
    assert entropy(levels(0, high=60)).item() == pytest.approx(shannon_entropy(levels(0, high=60).numpy(), base=2))


def test_mutual_information(three):
    fused, sources = three
    assert mutual_information(fused, torch.stack([fused] * 2)).item() == pytest.approx(2 * entropy(fused).item())
    assert mutual_information(fused, torch.full_like(sources, 3)).item() == pytest.approx(0, abs=1e-12)
    bits = 0.0
    for source in sources:  # skimage: (H(A) + H(B)) / H(A, B), so MI = (H(A) + H(B)) (1 - 1 / that)
        ratio = normalized_mutual_information(source.numpy(), fused.numpy(), bins=[np.arange(257) - 0.5] * 2)
        bits += (entropy(source) + entropy(fused)).item() * (1 - 1 / ratio)
    assert mutual_information(fused, sources).item() == pytest.approx(bits)


def test_spread_and_slopes(three):
    fused = three[0]
    array = fused.numpy()
    assert standard_deviation(fused).item() == pytest.approx(array.std())
    rows, columns = np.diff(array, axis=1), np.diff(array, axis=0)
    assert spatial_frequency(fused).item() == pytest.approx(math.sqrt((rows**2).mean() + (columns**2).mean()))
    ramp = torch.arange(8.0).double()
    assert average_gradient(3 * ramp[None] + 4 * ramp[:, None]).item() == pytest.approx(5 / math.sqrt(2))
    assert spatial_frequency(3 * ramp[None] + 4 * ramp[:, None]).item() == pytest.approx(5)
    flat = torch.full((9, 9), 40.0).double()
    assert standard_deviation(flat) == spatial_frequency(flat) == average_gradient(flat) == 0


def test_scd(three):
    sources = three[1] // 2
    assert correlations_of_differences(sources.sum(0), sources).item() == pytest.approx(2)
    fused, (a, b) = three[0], three[1].numpy()
    expected = sum(np.corrcoef((fused.numpy() - other).ravel(), one.ravel())[0, 1] for one, other in ((a, b), (b, a)))
    assert correlations_of_differences(*three).item() == pytest.approx(expected)
    assert correlations_of_differences(fused, torch.stack([fused, fused])) == 0  # nothing is left to correlate
    triple = torch.stack([*three[1], levels(2)])
    pairs = [correlations_of_differences(fused, triple[[i, j]]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert correlations_of_differences(fused, triple).item() == pytest.approx(sum(pairs).item() / 3)


def qabf(fused, sources):
    """Pixel by pixel, with SciPy's Sobel filter."""
    def edges(image):
        image = np.asarray(image)
        return sobel(image, axis=1)[1:-1, 1:-1], sobel(image, axis=0)[1:-1, 1:-1]

    above = below = 0.0
    fx, fy = edges(fused)
    for source in sources:
        for ax, ay, x, y in zip(*(plane.ravel() for plane in (*edges(source), fx, fy)), strict=True):
            strengths = sorted((math.hypot(ax, ay), math.hypot(x, y)))
            ratio = strengths[0] / strengths[1] if strengths[1] else 1
            angles = [math.atan(v / u) if u else math.pi / 2 for u, v in ((ax, ay), (x, y))]
            angle = abs(abs(angles[0] - angles[1]) - math.pi / 2) / (math.pi / 2)
            weight = math.hypot(ax, ay)
            below += weight
            above += weight * 0.9994 / (1 + math.exp(-15 * (ratio - 0.5))) * 0.9879 / (
                1 + math.exp(-22 * (angle - 0.8)))
    return above / below


def test_qabf(three):
    fused, sources = three
    assert edges_kept(fused, torch.stack([fused, fused])).item() == pytest.approx(MOST)
    assert MOST == pytest.approx(0.9748, abs=5e-5)
    assert edges_kept(fused, sources).item() == pytest.approx(qabf(fused, sources))
    flat = torch.full_like(fused, 90)
    assert edges_kept(flat, torch.stack([flat, flat])) == 0, "0 / 0"
    assert edges_kept(fused, torch.stack([fused, flat])).item() == pytest.approx(MOST), "a flat source weighs nothing"
    assert edges_kept(flat, sources) < 0.001


def test_qabf_does_not_care_for_the_sign_of_an_edge():
    fused = levels(3)
    assert edges_kept(fused, (255 - fused)[None]).item() == pytest.approx(MOST)
    assert edges_kept(fused, fused.roll(1, 0)[None]) < 0.5


def test_likeness(three):
    fused, sources = three
    expected = [structural_similarity(fused.numpy() / 255, source.numpy() / 255, gaussian_weights=True, sigma=1.5,
                                      use_sample_covariance=False, data_range=1) for source in sources]
    assert likeness(fused, sources).item() == pytest.approx(np.mean(expected), abs=1e-4)
    assert likeness(fused, torch.stack([fused, fused])).item() == pytest.approx(1)


def test_visual_fidelity(three):
    fused, sources = three
    assert visual_fidelity(fused, fused[None]).item() == pytest.approx(1, abs=1e-5)
    assert visual_fidelity(fused, torch.stack([fused] * 3)).item() == pytest.approx(3, abs=1e-5)
    blurred = torch.nn.functional.avg_pool2d(fused[None, None], 5, 1, 2)[0, 0]
    assert visual_fidelity(blurred, fused[None]) < 0.2
    assert visual_fidelity(fused, torch.full_like(sources, 9)).isfinite()


def test_all_are_numbers(three):
    names = {"en", "mi", "sd", "sf", "ag", "scd", "qabf", "ssim_sources"}
    figures = all_of(*three)
    assert figures.keys() == names | {"vif"}
    assert all(type(figure) is float and math.isfinite(figure) for figure in figures.values())
    small = all_of(three[0][:16], three[1][:, :16])
    assert small.keys() == names, "too small for four scales"
    flat = all_of(torch.zeros(45, 45).double(), torch.zeros(2, 45, 45).double())
    assert all(math.isfinite(figure) for figure in flat.values())
