"""What is said about a denoised picture without looking at a target."""

import importlib.util

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from shared import DATA, shared

from dip_lab.compose import compose
from dip_lab.data.images import Images, read_picture
from dip_lab.instantiate import instantiate
from dip_lab.tasks import brisque
from dip_lab.tasks.denoise import Denoised

INSTALLED = importlib.util.find_spec("brisque") is not None


def noise_of(blur):
    noise = gaussian_filter(np.random.default_rng(0).standard_normal((1, 3, 64, 64)), (0, 0, blur, blur), mode="wrap")
    return torch.from_numpy(noise / noise.std()).float()


@pytest.mark.parametrize(("blur", "correlation"), [(0, 0), (1, 0.78)])
def test_the_residual_of_a_perfect_answer_is_the_noise(blur, correlation, fit_tiny):
    clean = torch.full((1, 3, 64, 64), 0.5)
    restoration = fit_tiny("iterations=2", "task.given=true", picture=Images("p", clean + 0.05 * noise_of(blur)))
    problem = type("Problem", (), {"observation": clean + 0.05 * noise_of(blur)})
    scores = Denoised(brisque=False).final(clean, problem)
    assert scores["residual_std"] == pytest.approx(0.05 * 255, rel=0.02)
    assert scores["residual_correlation"] == pytest.approx(correlation, abs=0.05)
    assert restoration.summary["residual_std"] > 0


def test_brisque_is_refused_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(brisque.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install 'dip_lab\\[quality\\]'"):
        instantiate(compose(["task.evaluation.brisque=true"]).task.evaluation)
    with pytest.raises(ValueError, match="task.evaluation.brisque=yes: choose true or false"):
        Denoised(brisque="yes")


@pytest.mark.skipif(not INSTALLED, reason="needs the package brisque")
@shared("Kodak24")
def test_brisque_prefers_a_photo_to_its_damaged_copies():
    photo = read_picture(DATA / "Kodak24/kodim03.png").pixels[..., :256, :256]
    blurred = torch.from_numpy(gaussian_filter(photo.numpy(), (0, 0, 3, 3)))
    noisy = (photo + 0.2 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    scores = [brisque.brisque(image) for image in (photo, blurred, noisy, photo[:, :1])]
    assert scores[0] < min(scores[1:3]) and np.isfinite(scores).all()
