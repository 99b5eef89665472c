
import pytest
import torch
from PIL import Image
from shared import DATA, shared

from dip_lab.build import build_problem, load_images
from dip_lab.compose import compose
from dip_lab.data.images import read_picture
from dip_lab.tasks.noise import Gaussian, Impulse, NoNoise, Poisson, SharedGaussian, Shuffled, Speckle, Uniform

GREY = torch.full((1, 3, 64, 64), 0.5)
LAWS = {
    "gaussian": Gaussian(25, clip=True),
    "speckle": Speckle(50, clip=True),
    "poisson": Poisson(25, clip=True),
    "impulse": Impulse(0.3, per_pixel=False),
    "impulse-per-pixel": Impulse(0.3, per_pixel=True),
    "shared": SharedGaussian(25, clip=True),
    "uniform": Uniform(),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_depend_on_the_seed_alone(name):
    law = LAWS[name]
    torch.manual_seed(0)
    noisy = law(GREY, 1)
    torch.manual_seed(1)
    assert torch.equal(noisy, law(GREY, 1)) and not torch.equal(noisy, law(GREY, 2))
    assert noisy.shape == GREY.shape and noisy.dtype == torch.float32
    assert noisy.min() >= 0 and noisy.max() <= 1
    assert torch.equal(GREY, torch.full((1, 3, 64, 64), 0.5))


def test_standard_deviations():
    assert Gaussian(25, clip=False)(GREY, 0).std().item() == pytest.approx(25 / 255, rel=0.03)
    assert Speckle(50, clip=False)(GREY, 0).std().item() == pytest.approx(25 / 255, rel=0.03)
    assert Poisson(40, clip=False)(GREY, 0).var().item() == pytest.approx(0.5 / 40, rel=0.05)
    assert Poisson(40, clip=False)(GREY, 0).mean().item() == pytest.approx(0.5, rel=0.02)


def test_clip_is_an_option():
    white = torch.ones(1, 1, 32, 32)
    for law in (Gaussian, Speckle, Poisson):
        assert law(30, clip=True)(white, 0).max() <= 1 < law(30, clip=False)(white, 0).max()


def test_poisson_gives_whole_counts_and_takes_overshoot():
    counts = Poisson(10, clip=False)(torch.tensor([[[[-0.1, 0.0, 0.4, 1.0]]]]), 0) * 10
    assert torch.allclose(counts, counts.round(), atol=1e-5) and counts[0, 0, 0, :2].eq(0).all()


def test_impulse_changes_its_fraction():
    for per_pixel in (False, True):
        noisy = Impulse(0.3, per_pixel)(GREY, 0)
        assert (noisy == 0).float().mean().item() == pytest.approx(0.15, abs=0.015)
        assert (noisy == 1).float().mean().item() == pytest.approx(0.15, abs=0.015)
        assert bool((noisy == noisy[:, :1]).all()) == per_pixel
    assert torch.equal(Impulse(0, False)(GREY, 0), GREY)
    assert (Impulse(1, False)(GREY, 0) != GREY).all()


def test_zero_noise():
    assert NoNoise()(GREY, 0) is GREY
    assert torch.equal(Gaussian(0, clip=True)(GREY, 0), GREY)


@pytest.mark.parametrize("sigma", [-1, float("nan"), float("inf"), "strong", True])
def test_other_sigmas_are_refused(sigma):
    for law in (Gaussian, Speckle):
        with pytest.raises(ValueError, match=rf"task\.noise\.sigma \(or task\.sigma\)={sigma}: .*at least 0"):
            law(sigma, clip=True)


def test_other_values_are_refused():
    for fraction in (-0.1, 1.5, float("nan")):
        with pytest.raises(
            ValueError, match=rf"task\.noise\.fraction={fraction}: .*at least 0 and at most 1"
        ):
            Impulse(fraction, per_pixel=False)
    for photons in (0, -3):
        with pytest.raises(ValueError, match=rf"task\.noise\.photons={photons}: .*above 0"):
            Poisson(photons, clip=True)


@shared("denoise9")
@pytest.mark.parametrize(("sigma", "ratio"), [(25, 0.955), (50, 0.851)])
def test_variance_left_by_the_published_clipping(sigma, ratio):
    law = Gaussian(sigma, clip=True)
    ratios = []
    for path in sorted((DATA / "denoise9").glob("*.png")):
        clean = read_picture(path).pixels[..., :256, :256]
        ratios.append(((law(clean, 0) - clean).square().mean() / (sigma / 255) ** 2).item())
    assert len(ratios) == 9
    assert sum(ratios) / 9 == pytest.approx(ratio, abs=0.02)


def test_shared_noise_is_the_same_in_every_channel():
    noisy = SharedGaussian(25, clip=True)(GREY, 0)
    assert bool((noisy == noisy[:, :1]).all())
    assert (noisy - GREY).std().item() == pytest.approx(25 / 255, rel=0.03)


def test_shuffled_pixels_are_the_same_pixels():
    picture = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    shuffled = Shuffled()(picture, 0)
    before, after = ({tuple(pixel.tolist()) for pixel in image.flatten(2)[0].T} for image in (picture, shuffled))
    assert before == after and not torch.equal(picture, shuffled)
    assert torch.equal(shuffled, Shuffled()(picture, 0)) and not torch.equal(shuffled, Shuffled()(picture, 1))


@pytest.mark.parametrize("law", [Shuffled(), Uniform()], ids=["shuffled", "uniform"])
def test_what_replaces_the_picture_says_how_far_it_is(law):
    picture = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    squares = torch.stack([(law(picture, seed) - picture).square() for seed in range(3000)])
    assert torch.allclose(squares.mean(0), law.expected_square(picture), atol=0.03)


@pytest.mark.parametrize(("overrides", "sigma"), [
    ((), None), (("task.sigma=15",), 15), (("task/noise=gaussian",), 25), (("data.clean=true",), 25),
    (("data.clean=true", "task.sigma=40"), 40), (("data.clean=true", "task/noise=none"), None),
])
def test_noise_is_added_to_your_own_picture_only_if_you_ask(overrides, sigma, tmp_path):
    Image.new("L", (64, 64), 128).save(tmp_path / "photo.png")
    cfg = compose(["data=file", f"data.path={tmp_path / 'photo.png'}", *overrides])
    problem = build_problem(cfg.task, load_images(cfg.data), seed=0)
    assert (problem.target is None) == (sigma is None)
    if sigma is None:
        assert bool((problem.observation == 128 / 255).all()) and problem.noise is None
    else:
        assert 255 * float(problem.observation.std()) == pytest.approx(sigma, rel=0.05)


def test_noise_is_added_to_a_clean_picture():
    cfg = compose(["data.size=64"])
    problem = build_problem(cfg.task, load_images(cfg.data), seed=0)
    assert 255 * float((problem.observation - problem.target).std()) == pytest.approx(25, rel=0.1)
