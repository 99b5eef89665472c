import sys

import numpy as np
import pytest
import torch
from skimage import restoration

from dip_lab.data.images import Images
from dip_lab.tasks.noise import estimated_std

FLAT = {"flat": torch.full((1, 3, 17, 12), 0.5), "black": torch.zeros(1, 1, 8, 8),
        "stripes": (torch.arange(9.0) % 2).expand(1, 3, 8, 9).contiguous()}


def psnr(problem, image):
    return problem.scores(image)["psnr"]


@pytest.mark.parametrize("name, fast, h", [("nlm", True, 0.6), ("nlm_slow", False, 0.8)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_nlm_is_that_of_scikit_image(name, fast, h, per_channel, face, problem_of, baseline_of):
    problem = problem_of(face(), "task=denoise")
    std, noisy = estimated_std(problem.observation), problem.observation[0].numpy()
    settings = {"patch_size": 5, "patch_distance": 6, "h": h * std, "sigma": std, "fast_mode": fast}
    if per_channel:
        expected = np.stack([restoration.denoise_nl_means(plane, **settings) for plane in noisy])
    else:
        expected = restoration.denoise_nl_means(noisy, **settings, channel_axis=0)
    image = baseline_of(name, f"baseline.per_channel={str(per_channel).lower()}")(problem)
    assert np.allclose(image[0].numpy(), np.clip(expected, 0, 1), atol=1e-6)


def test_median_of_an_impulse(problem_of, baseline_of):
    pixels = torch.linspace(0.2, 0.6, 16 * 20).reshape(1, 1, 16, 20).expand(1, 3, 16, 20).clone()
    pixels[0, 1, 5, 7] = 1
    image = baseline_of("median")(problem_of(Images("impulse", pixels), "task=denoise", "task.given=true"))
    around = pixels[0, 1, 4:7, 6:9].flatten().sort().values
    assert image[0, 1, 5, 7] == around[4]
    assert torch.equal(image[0, 0], image[0, 2]), "a channel took from another"


def test_median_for_impulse_noise(face, problem_of, baseline_of):
    problem = problem_of(face(), "task=denoise", "task/noise=impulse", "task/misfit=l1")
    assert psnr(problem, baseline_of("median")(problem)) > psnr(problem, problem.observation) + 6


@pytest.mark.parametrize("channels", [1, 3])
def test_wavelet_shrinkage_of_small_pictures(channels, face, problem_of, baseline_of):
    problem = problem_of(face(16, 18, channels), "task=denoise")  # too small for 4 levels: 1, and no warning
    (image, fewer) = (baseline_of("wavelet", f"baseline.levels={levels}")(problem) for levels in (4, 1))
    assert torch.equal(image, fewer) and psnr(problem, image) > psnr(problem, problem.observation)


def test_colour_is_denoised_in_ycbcr(face, problem_of, baseline_of):
    problem = problem_of(face(40, 40), "task=denoise")
    noisy = problem.observation[0].permute(1, 2, 0).numpy()
    expected = restoration.denoise_wavelet(noisy, estimated_std(problem.observation), "db2", wavelet_levels=2,
                                           convert2ycbcr=True, channel_axis=-1)
    image = baseline_of("wavelet", "baseline.wavelet=db2", "baseline.levels=2")(problem)
    assert np.allclose(image[0].permute(1, 2, 0).numpy(), np.clip(expected, 0, 1), atol=1e-6)


@pytest.mark.parametrize("picture", FLAT)
@pytest.mark.parametrize("name", ["nlm", "nlm_slow", "median", "wavelet"])
def test_without_noise(name, picture, problem_of, baseline_of):
    pixels = FLAT[picture]
    image = baseline_of(name)(problem_of(Images(picture, pixels), "task=denoise", "task.given=true"))
    assert image.shape == pixels.shape and image.isfinite().all()
    if picture != "stripes":
        assert torch.allclose(image, pixels, atol=1e-5)


def test_bm3d_that_is_not_installed(face, problem_of, baseline_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ValueError, match=r"^baseline=bm3d needs .* non-commercial use only .*: pip install bm3d$"):
        baseline_of("bm3d")(problem_of(face(), "task=denoise"))


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_bm3d(channels, face, problem_of, baseline_of):
    pytest.importorskip("bm3d")
    problem = problem_of(face(33, 47, channels), "task=denoise")
    image = baseline_of("bm3d")(problem)
    assert image.shape == problem.image_shape and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1
    assert psnr(problem, image) > psnr(problem, baseline_of("wavelet")(problem))


def test_bm3d_of_a_single_block_is_refused(problem_of, baseline_of):
    pytest.importorskip("bm3d")
    picture = Images("tiny", torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="^baseline=bm3d needs more than 8 x 8 px: try baseline=nlm$"):
        baseline_of("bm3d")(problem_of(picture, "task=denoise"))
