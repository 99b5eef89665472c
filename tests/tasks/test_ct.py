import copy
import logging

import numpy as np
import pytest
import torch
from skimage.transform import iradon, radon

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.tasks.ct import BackProjected, Radon, detectors_of

CASES = {"square": (24, 24, 11, 180, False), "wide": (17, 23, 7, 180, False), "high": (23, 16, 5, 120, False),
         "circle": (24, 24, 9, 180, True), "odd-circle": (25, 25, 9, 360, True), "one-view": (16, 16, 1, 180, False)}


def scanner(height, width, views, arc, circle):
    operator = Radon(views, arc, circle)
    operator.prepare(Images("x", torch.rand(1, 1, height, width)), seed=0, given=False)
    return operator


def disc(height, width, seed=0):
    """Random values inside the circle, 0 outside."""
    values = np.random.default_rng(seed).random((height, width))
    rows, columns = np.ogrid[:height, :width]
    values[(rows - height // 2) ** 2 + (columns - width // 2) ** 2 > (min(height, width) // 2) ** 2] = 0
    return values


def angles(views, arc):
    return np.arange(views) * arc / views


@pytest.mark.parametrize("case", CASES)
def test_the_sinogram_is_scikit_image_s(case):
    height, width, views, arc, circle = CASES[case]
    image = disc(height, width) if circle else np.random.default_rng(0).random((height, width))
    y = scanner(*CASES[case])(torch.from_numpy(image)[None, None])
    expected = radon(image, angles(views, arc), circle=circle) / max(height, width)
    assert y.shape == (1, 1, detectors_of(max(height, width), circle), views) and y.dtype == torch.float64
    np.testing.assert_allclose(y[0, 0].numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3)])
@pytest.mark.parametrize("case", CASES)
def test_the_adjoint_is_exact(case, shape):
    operator, generator = scanner(*CASES[case]), torch.Generator().manual_seed(0)
    x = torch.randn(*shape, *CASES[case][:2], generator=generator, dtype=torch.float64, requires_grad=True)
    y = operator(x)
    u = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    back = operator.adjoint(u)
    assert back.shape == x.shape and operator.image_shape(tuple(y.shape[1:])) == x.shape[1:]
    assert torch.allclose((y * u).sum(), (x * back).sum(), rtol=1e-12)
    (gradient,) = torch.autograd.grad(y, x, u)
    assert torch.equal(gradient, back)


def test_each_channel_of_each_frame_alone():
    operator, x = scanner(*CASES["wide"]), torch.rand(2, 3, 17, 23, dtype=torch.float64)
    alone = torch.stack([torch.cat([operator(x[n : n + 1, c : c + 1])[0] for c in range(3)]) for n in range(2)])
    assert torch.allclose(operator(x), alone, atol=1e-12)


def test_the_sum_of_every_view_is_that_of_the_image():
    y = scanner(20, 20, 6, 180, False)(torch.ones(1, 1, 20, 20))
    assert y[..., 0].sum() * 20 == pytest.approx(400)  # no interpolation at angle 0
    assert torch.allclose(y.sum(-2) * 20, torch.tensor(400.0), rtol=0.01)
    assert y.max() <= 1.42


@pytest.mark.parametrize("case", CASES)
def test_filtered_back_projection_is_scikit_image_s(case):
    height, width, views, arc, circle = CASES[case]
    image, side = disc(height, width), max(height, width)
    operator = scanner(*CASES[case])
    y = operator(torch.from_numpy(image)[None, None])
    lines = radon(image, angles(views, arc), circle=circle)
    seen = {"ramp": BackProjected().observed(y, operator), "hann": operator.filtered_back_projection(y, "hann")}
    for name, found in seen.items():
        expected = iradon(lines, angles(views, arc), output_size=side, filter_name=name, circle=circle)
        top, left = side // 2 - height // 2, side // 2 - width // 2
        expected = expected[top : top + height, left : left + width].clip(0, 1)
        np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(33, 33), (24, 33), (33, 24)])
def test_back_projection_of_many_views_is_in_place(size):
    image = np.zeros(size)
    image[8:12, 14:20] = 1
    operator = scanner(*size, 90, 180, False)
    found = BackProjected().observed(operator(torch.from_numpy(image)[None, None]), operator)[0, 0].numpy()
    assert np.abs(found - image).mean() < 0.02
    assert found[9:11, 15:19].min() > 0.8


def test_float32_under_autocast_too():
    operator, x = scanner(*CASES["wide"]), torch.rand(1, 1, 17, 23)
    expected = operator(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(operator(x), expected) and expected.dtype == torch.float32
    assert operator(x.bfloat16()).dtype == torch.float32
    assert not operator.state_dict()
    assert torch.equal(copy.deepcopy(operator)(x), expected)


def test_the_problem_and_its_noise():
    picture = Images("x", torch.rand(1, 1, 65, 64))
    noisy, clean = (build_problem(compose(["task=ct", "task.views=7", f"task.sigma={sigma}"]).task, picture, seed=3)
                    for sigma in (2, 0))
    assert noisy.image_shape == (1, 1, 65, 64) and noisy.answer == "dip_ct" and noisy.counted is None
    difference = noisy.observation - clean.observation
    assert float(difference.std()) == pytest.approx(2 / 255, rel=0.1) and noisy.observation.min() < 0
    assert torch.equal(clean.observation, clean.operator(picture.pixels)) and clean.misfit(picture.pixels) == 0
    assert torch.equal(clean.observed(), BackProjected().observed(clean.observation, clean.operator))


@pytest.mark.parametrize("circle, side", [(False, 23), (True, 23), (False, 30)])
def test_a_given_sinogram(circle, side, caplog):
    image = 0.8 * disc(side, side)
    lines = radon(image, angles(9, 180), circle=circle) / side
    sinogram = Images("scan", torch.from_numpy(lines).float()[None, None])
    overrides = ["task=ct", "task.given=true", "task.views=9", f"task.circle={circle}"]
    problem = build_problem(compose(overrides).task, sinogram, seed=0)
    assert problem.target is None and problem.image_shape == (1, 1, side, side)
    assert torch.equal(problem.observation, sinogram.pixels)
    assert problem.misfit(torch.from_numpy(image).float()[None, None]) < 1e-12
    assert not caplog.records


@pytest.mark.parametrize("detectors", range(40, 48))
def test_any_number_of_detectors(detectors):
    operator = Radon(5, 180, circle=False)
    operator.prepare(Images("scan", torch.rand(1, 1, detectors, 5)), seed=0, given=True)
    _, height, width = operator.image_shape((1, detectors, 5))
    assert height == width and detectors - 1 <= detectors_of(height, False) <= detectors
    assert operator(torch.rand(1, 1, height, width)).shape == (1, 1, detectors, 5)


def test_a_sinogram_in_other_units_is_noticed(caplog):
    lines = radon(disc(24, 24), angles(9, 180), circle=True)
    with caplog.at_level(logging.WARNING):
        build_problem(compose(["task=ct", "task.given=true", "task.views=9", "task.circle=true"]).task,
                      Images("scan", torch.from_numpy(lines).float()[None, None]), seed=0)
    assert "data.scale=0.0" in caplog.text


@pytest.mark.parametrize("shape, message", [
    ((40, 50), r"^task\.views=60: sinogram scan has 40 rows.* 50 columns.*give task\.views=50, or its transpose$"),
    ((10, 60), r"^scan: 10 detectors.* at least 8$"),
])
def test_other_sinograms_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        build_problem(compose(["task=ct", "task.given=true"]).task, Images("scan", torch.rand(1, 1, *shape)), seed=0)


@pytest.mark.parametrize("override, message", [
    ("task.views=0", r"task\.views=0: give a whole number of at least 1"),
    ("task.views=2.5", r"task\.views=2\.5: give a whole number"),
    ("task.arc=0", r"task\.arc=0: give a number above 0 and at most 360"),
    ("task.circle=1", r"task\.operator\.circle=1: choose true or false"),
])
def test_other_values_are_refused(override, message):
    with pytest.raises(ValueError, match=message):
        build_problem(compose(["task=ct", override]).task, Images("x", torch.rand(1, 1, 16, 16)), seed=0)
