import logging

import numpy as np
import pytest
import torch
from PIL import Image

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.tasks.mri import Cartesian, Fourier, Radial, Scan, ZeroFilled

PATTERNS = {"random": Cartesian(4, 0.08, "random"), "equispaced": Cartesian(3, 0.1, "equispaced"), "radial": Radial(5)}
FULL = Cartesian(1, 0, "random")


def scanner(sampling, height=17, width=23, complex=False):
    operator = Fourier(sampling, complex)
    operator.prepare(Images("x", torch.rand(1, 1, height, width)), seed=3, given=False)
    return operator


def kspace_of(image):
    """NumPy's transform, with the zero frequency in the middle."""
    shifted = np.fft.ifftshift(image, axes=(-2, -1))
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(-2, -1))


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [(17, 23), (16, 20), (9, 32)])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_transform_is_numpy_s(pattern, size):
    x, operator = random(2, 3, *size), scanner(PATTERNS[pattern], *size)
    y = operator(x)
    expected = kspace_of(x.numpy()) * operator.known.numpy()
    assert y.shape == (2, 6, *size) and y.dtype == torch.float64
    np.testing.assert_allclose(y[:, :3].numpy(), expected.real, atol=1e-12)
    np.testing.assert_allclose(y[:, 3:].numpy(), expected.imag, atol=1e-12)
    assert not y.masked_select(operator.known.expand_as(y) == 0).any()


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_adjoint_is_exact(pattern, complex):
    operator, x = scanner(PATTERNS[pattern], complex=complex), random(2, 4, 17, 23).requires_grad_()
    y = operator(x)
    u = random(*y.shape, seed=1)
    back = operator.adjoint(u)
    assert back.shape == x.shape and operator.image_shape(tuple(y.shape[1:])) == x.shape[1:]
    linear = y - operator(torch.zeros_like(x))
    assert torch.allclose((linear * u).sum(), (x * back).sum(), rtol=1e-12)
    (gradient,) = torch.autograd.grad(y, x, u)
    assert torch.allclose(gradient, back, atol=1e-12)


def test_the_zero_frequency_is_in_the_middle():
    y = scanner(FULL, 16, 20)(torch.full((1, 1, 16, 20), 0.5))
    assert y[0, 0, 8, 10] == pytest.approx(0.5 * 320**0.5)
    y[0, 0, 8, 10] = 0
    assert y.abs().max() < 1e-5


def test_everything_sampled_gives_the_picture_back():
    x = torch.rand(1, 3, 17, 23)
    operator = scanner(FULL)
    assert torch.allclose(ZeroFilled(complex=False).observed(operator(x), operator), x, atol=1e-6)
    assert torch.allclose(operator.adjoint(operator(x)), x, atol=1e-6)
    assert operator(x).square().sum() == pytest.approx(x.square().sum())


def test_observed_is_the_magnitude_of_the_zero_filled_picture():
    x, operator, view = torch.rand(1, 1, 17, 23), scanner(PATTERNS["random"]), ZeroFilled(complex=False)
    y = operator(x)
    kspace = np.fft.ifftshift(y[0, 0].numpy() + 1j * y[0, 1].numpy())
    expected = np.abs(np.fft.fftshift(np.fft.ifft2(kspace, norm="ortho"))).clip(0, 1)
    np.testing.assert_allclose(view.observed(y, operator)[0, 0].numpy(), expected, atol=1e-6)
    y[operator.known.expand_as(y) == 0] = 7  # what was not sampled does not count
    np.testing.assert_allclose(view.observed(y, operator)[0, 0].numpy(), expected, atol=1e-6)


def test_complex_images_are_shown_by_their_magnitude():
    picture = torch.polar(torch.rand(1, 2, 17, 23), 6 * torch.rand(1, 2, 17, 23))
    image = (torch.cat((picture.real, picture.imag), 1) + 1) / 2
    operator, view = scanner(FULL, complex=True), ZeroFilled(complex=True)
    assert torch.allclose(view.shown(image), picture.abs(), atol=1e-6)
    y = operator(image)
    assert y.shape == (1, 4, 17, 23)
    expected = torch.from_numpy(kspace_of(picture.numpy()))
    assert torch.allclose(y, torch.cat((expected.real, expected.imag), 1), atol=1e-5)
    assert torch.allclose(view.observed(y, operator), image, atol=1e-6)
    assert operator.image_shape((4, 17, 23)) == (4, 17, 23)


def test_the_target_is_given_a_smooth_phase():
    target, operator = torch.rand(1, 1, 32, 32), scanner(FULL, 32, 32, complex=True)
    observation = Scan(phase=2)(target, operator)
    picture = operator.zero_filled(observation)
    assert torch.allclose(picture.abs(), target, atol=1e-5)
    angle = picture[target > 0.05].angle()
    assert 1.9 < angle.abs().max() <= 2.0001
    turn = operator.zero_filled(Scan(phase=2)(torch.ones_like(target), operator)).angle()
    assert turn.diff(dim=-1).abs().max() < 0.5 and turn.diff(dim=-2).abs().max() < 0.5
    assert torch.equal(Scan(phase=0)(target, scanner(FULL, 32, 32)), scanner(FULL, 32, 32)(target))
    with pytest.raises(ValueError, match=r"^task\.phase=2: a real image has no phase: add task\.complex=true$"):
        Scan(phase=2)(target, scanner(FULL, 32, 32))


@pytest.mark.parametrize("spacing", ["random", "equispaced"])
@pytest.mark.parametrize("width, acceleration, columns, middle", [(128, 4, 32, 10), (128, 8, 16, 10), (23, 4, 6, 2),
                                                                  (320, 4, 80, 26), (20, 1, 20, 2)])
def test_cartesian_columns(width, acceleration, columns, middle, spacing):
    pattern, picture = Cartesian(acceleration, 0.08, spacing), Images("x", torch.rand(1, 1, 12, width))
    known = pattern(picture, seed=0)
    assert known.shape == (1, 1, 12, width) and known.dtype == torch.bool
    assert torch.equal(known.all(-2), known.any(-2)) and int(known[0, 0, 0].sum()) == columns
    first = width // 2 - middle // 2
    assert known[0, 0, 0, first : first + middle].all()
    assert torch.equal(known, pattern(picture, seed=0))
    if columns not in (middle, width):
        assert any(not torch.equal(known, pattern(picture, seed)) for seed in range(1, 5))
    if spacing == "equispaced":
        left = known[0, 0, 0, :first].nonzero().flatten().diff()
        assert not len(left) or left.max() - left.min() <= 1


@pytest.mark.parametrize("size", [(128, 128), (65, 64), (40, 100)])
def test_radial_spokes(size):
    known = Radial(9)(Images("x", torch.rand(1, 1, *size)), seed=0)
    assert known[0, 0, size[0] // 2, size[1] // 2]
    # at a frequency of 0.4 cycles per pixel, 9 spokes cross the two halves of an ellipse 18 times
    turn = torch.linspace(0, 2 * torch.pi, 20_001)[:-1]
    rows = (0.4 * turn.sin() * size[0]).round().long() + size[0] // 2
    columns = (0.4 * turn.cos() * size[1]).round().long() + size[1] // 2
    crossed = known[0, 0, rows, columns]
    assert int((crossed & ~crossed.roll(1)).sum()) == 18
    assert not known[0, 0, 0, 0] and not torch.equal(known, Radial(9)(Images("x", torch.rand(1, 1, *size)), seed=1))
    assert 0.5 < known.float().mean() * min(size) / 9 < 1.5


def test_a_file_s_pattern(tmp_path):
    stripes = (np.arange(20) % 3 == 0)[None].repeat(17, 0)
    Image.fromarray(stripes.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    cfg = compose(["task=mri", "task/sampling=file", f"task.sampling.path={tmp_path / 'mask.png'}"])
    problem = build_problem(cfg.task, Images("x", torch.rand(1, 1, 17, 20)), seed=0)
    assert np.array_equal(problem.operator.known[0, 0].numpy(), stripes)
    with pytest.raises(ValueError, match=r"task\.sampling\.path=.*20 x 17 px"):
        build_problem(cfg.task, Images("x", torch.rand(1, 1, 17, 21)), seed=0)


def test_what_is_not_sampled_stays_zero_and_does_not_count():
    picture = Images("x", torch.rand(1, 1, 64, 64))
    clean, noisy = (build_problem(compose(["task=mri", f"task.sigma={sigma}"]).task, picture, 0) for sigma in (0, 5))
    sampled = noisy.operator.known.expand_as(noisy.observation) > 0
    assert noisy.image_shape == (1, 1, 64, 64) and noisy.answer == "dip_mri"
    assert not noisy.observation[~sampled].any() and torch.equal(noisy.counted, noisy.operator.known)
    difference = (noisy.observation - clean.observation)[sampled]
    assert float(difference.std()) == pytest.approx(5 / 255, rel=0.1)
    assert clean.misfit(picture.pixels) == 0


def test_a_complex_problem_is_scored_by_its_magnitude():
    picture = Images("x", torch.rand(1, 1, 16, 16))
    cfg = compose(["task=mri", "task.complex=true", "task.phase=1", "task.sampling.acceleration=1"])
    problem = build_problem(cfg.task, picture, seed=0)
    assert problem.image_shape == (1, 2, 16, 16)
    assert problem.scores(problem.observed())["psnr"] > 80
    assert problem.misfit(problem.observed()) < 1e-10


@pytest.mark.parametrize("complex", [False, True])
def test_given_kspace(complex, caplog):
    image = np.random.default_rng(0).random((17, 20))
    kspace = kspace_of(image) * (np.arange(20) % 2 == 0)
    given = Images("scan", torch.from_numpy(np.stack((kspace.real, kspace.imag))).float()[None])
    cfg = compose(["task=mri", "task.given=true", "task/sampling=observed", f"task.complex={complex}"])
    problem = build_problem(cfg.task, given, seed=0)
    assert problem.target is None and problem.image_shape == (1, 1 + complex, 17, 20)
    assert torch.equal(problem.observation, given.pixels)
    assert np.array_equal(problem.operator.known[0, 0].numpy(), np.tile(np.arange(20) % 2 == 0, (17, 1)))
    x = torch.from_numpy(image).float()[None, None]
    assert problem.misfit(torch.cat(((x + 1) / 2, torch.full_like(x, 0.5)), 1) if complex else x) < 1e-10
    assert not caplog.records


def test_given_kspace_may_be_thinned_out():
    given = Images("scan", torch.randn(1, 2, 16, 16))
    problem = build_problem(compose(["task=mri", "task.given=true"]).task, given, seed=0)
    assert torch.equal(problem.observation, given.pixels * problem.operator.known)
    assert problem.operator.known.mean() == 0.25


def test_kspace_in_other_units_is_noticed(caplog):
    given = Images("scan", 1e-5 * torch.randn(1, 2, 16, 16))
    with caplog.at_level(logging.WARNING):
        build_problem(compose(["task=mri", "task.given=true"]).task, given, seed=0)
    assert "data.scale=" in caplog.text


@pytest.mark.parametrize("overrides, message", [
    (["task.sampling.acceleration=0.5"], r"task\.sampling\.acceleration=0\.5: give a number at least 1"),
    (["task.sampling.center_fraction=2"], r"task\.sampling\.center_fraction=2: give a number"),
    (["task.sampling.center_fraction=0.5"], r"center_fraction=0\.5: 8 columns are more than the 4 of 16"),
    (["task.sampling.spacing=even"], r"task\.sampling\.spacing=even: choose random or equispaced"),
    (["task/sampling=radial", "task.sampling.spokes=0"], r"task\.sampling\.spokes=0: give a whole number"),
    (["task/sampling=observed"], r"^task/sampling=observed: x is a picture, not k-space: give task\.given=true"),
    (["task/sampling=file"], r"task\.sampling\.path"),
    (["task.complex=1"], r"task\.operator\.complex=1: choose true or false"),
    (["task.phase=-1"], r"task\.phase=-1: give a number at least 0"),
    (["task.phase=1"], r"^task\.phase=1: a real image has no phase"),
    (["task.given=true"], r"^task\.given=true: x has 1 channels, but k-space"),
])
def test_other_values_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        build_problem(compose(["task=mri", *overrides]).task, Images("x", torch.rand(1, 1, 16, 16)), seed=0)


def test_a_complex_image_has_two_parts():
    with pytest.raises(ValueError, match=r"task\.complex=true: an image of 3 channels"):
        scanner(FULL, complex=True)(torch.rand(1, 3, 17, 23))


def test_nothing_sampled_is_refused():
    with pytest.raises(ValueError, match="no value of k-space"):
        scanner(lambda picture, seed: torch.zeros(1, 1, 8, 8, dtype=torch.bool))
