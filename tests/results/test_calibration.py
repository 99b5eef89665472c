"""Calibration against what is known of synthetic errors, and against SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm, spearmanr

from dip_lab.results.calibration import CALIBRATION, calibration
from dip_lab.scores import SCORES

SHAPE = (1, 3, 200, 200)


def drawn(stated=1.0, frames=1, shape=SHAPE):
    """(answer, target, stated deviation): Gaussian errors of a known, uneven deviation; `stated` times it is stated."""
    random = torch.Generator().manual_seed(0)
    shape = (frames, *shape[1:])
    target = torch.rand(shape, generator=random)
    std = 0.01 + 0.09 * torch.rand(shape, generator=random)
    return target + std * torch.randn(shape, generator=random), target, stated * std


@pytest.mark.parametrize("stated", [1.0, 0.5, 2.0])
def test_gaussian_errors_lie_where_a_gaussian_has_them(stated):
    found = calibration(*drawn(stated))
    for k in (1, 2, 3):
        expected = 100 * (2 * norm.cdf(k * stated) - 1)
        assert found[f"within_{k}_std"] == pytest.approx(expected, abs=0.4), k
    assert found["error_to_std"] == pytest.approx(1 / stated, rel=0.01)


def test_the_gaussian_s_own_shares_are_stated():
    notes = {score.key: score.note for score in CALIBRATION}
    assert [notes[f"within_{k}_std"] for k in (1, 2, 3)] == ["Gaussian: 68.3", "Gaussian: 95.4", "Gaussian: 99.7"]
    assert not {score.key for score in CALIBRATION} & set(SCORES)


def test_the_rank_correlation_is_spearman_s_also_with_ties():
    image, target, deviation = drawn(shape=(1, 1, 30, 30))
    for rounded in (image, (20 * image).round() / 20):
        expected = spearmanr((rounded - target).abs().flatten().numpy(), deviation.flatten().numpy()).statistic
        assert calibration(rounded, target, deviation)["error_std_rank"] == pytest.approx(expected, abs=1e-6)
    tied = (50 * deviation).ceil()
    expected = spearmanr((image - target).abs().flatten().numpy(), tied.flatten().numpy()).statistic
    assert calibration(image, target, tied)["error_std_rank"] == pytest.approx(expected, abs=1e-6)


def test_a_clip_has_the_means_of_its_frames():
    image, target, deviation = drawn(frames=2, shape=(1, 1, 20, 20))
    deviation[1] *= 3
    single = [calibration(*(each[t:t + 1] for each in (image, target, deviation))) for t in range(2)]
    both = calibration(image, target, deviation)
    assert both == {key: pytest.approx(np.mean([row[key] for row in single])) for key in single[0]}
    assert single[1]["within_1_std"] > 95 and list(both) == [score.key for score in CALIBRATION]


def test_an_answer_without_errors_or_deviations():
    flat = torch.full((1, 1, 4, 4), 0.5)
    exact = calibration(flat, flat, torch.zeros_like(flat))
    assert exact["within_1_std"] == 100 and math.isnan(exact["error_std_rank"]) and math.isnan(exact["error_to_std"])
    assert calibration(flat, 0 * flat, 0 * flat)["error_to_std"] == math.inf
