"""Noise whose strength is drawn: from the range, the same for the same seed."""

import pytest
import torch

from dip_lab.tasks.noise import Gaussian
from dip_lab.training.laws import Drawn, noise_of, std_of

GAUSSIAN = {"_target_": "dip_lab.tasks.noise.Gaussian", "sigma": [0, 55], "clip": False}


def test_a_list_is_a_range():
    noise = noise_of(GAUSSIAN)
    sigmas = torch.tensor([255 * std_of(noise, seed) for seed in range(400)])
    assert 0 <= sigmas.min() < 2 and 53 < sigmas.max() <= 55
    assert 24 < sigmas.mean() < 31


def test_the_noise_has_the_strength_that_is_said():
    noise, clean = noise_of(GAUSSIAN), torch.full((1, 1, 64, 64), 0.5)
    for seed in range(3):
        made = noise(clean, seed) - clean
        assert float(made.std()) == pytest.approx(std_of(noise, seed), rel=0.05)
        assert torch.equal(made, noise(clean, seed) - clean)


def test_a_number_is_the_law_itself():
    noise = noise_of({**GAUSSIAN, "sigma": 25})
    assert isinstance(noise, Gaussian) and not isinstance(noise, Drawn)
    assert std_of(noise, 1) == 25 / 255


@pytest.mark.parametrize("sigma", [[5], [55, 0], ["a", 2], [-1, 5]])
def test_other_lists_are_refused(sigma):
    with pytest.raises(ValueError, match="task.sigma"):
        noise_of({**GAUSSIAN, "sigma": sigma})
