from types import SimpleNamespace

import pytest
import torch

from dip_lab.compose import compose
from dip_lab.instantiate import instantiate
from dip_lab.regularizers.double_overparameterization import DoubleOverparameterization
from dip_lab.tasks.misfits import MeanSquared
from dip_lab.tasks.noise import Impulse


def problem(observation):
    return SimpleNamespace(observation=observation)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_steps_are_plain_gradient_descent_on_g_and_h():
    y, lr = random(1, 3, 6, 7), 0.03
    ours = DoubleOverparameterization(lr, 0.1)
    ours.setup(problem(y), 0)
    g, h = (tensor.clone().requires_grad_() for tensor in (ours.g, ours.h))
    sgd = torch.optim.SGD([g, h], lr=lr * y.numel())
    for iteration in range(1, 6):
        image = random(1, 3, 6, 7, seed=iteration).requires_grad_()
        MeanSquared("all")(image + ours.corruption(), y, None).backward()
        ours.after_step(image.detach(), iteration)
        sgd.zero_grad()
        (image.detach() + g * g - h * h - y).square().mean().backward()
        sgd.step()
        assert torch.allclose(ours.g, g) and torch.allclose(ours.h, h)
        assert image.grad is not None


def found(ours, image, y, iterations):
    """The corruption after some steps with a fixed image."""
    for iteration in range(iterations):
        MeanSquared("all")(image + ours.corruption(), y, None).backward()
        ours.after_step(image, iteration)
    return ours.corruption().detach()


@pytest.mark.parametrize("side", [16, 32])
def test_finds_the_impulses_beside_a_known_image_whatever_its_size(side):
    image = 0.2 + 0.6 * random(1, 1, side, side)
    y = Impulse(0.3, False)(image, 0)
    ours = DoubleOverparameterization(0.05, 1e-5)
    ours.setup(problem(y), 0)
    assert torch.allclose(found(ours, image, y, 1000), y - image, atol=1e-3)


def test_large_residuals_are_explained_before_small_ones():
    image = torch.full((1, 1, 8, 8), 0.5)
    y = image + 0.05 * (random(1, 1, 8, 8) - 0.5)
    y[..., 2, 3] = 1
    ours = DoubleOverparameterization(0.05, 1e-5)
    ours.setup(problem(y), 0)
    corruption = found(ours, image, y, 200)
    assert corruption[..., 2, 3] == pytest.approx(0.5, abs=0.02)
    corruption[..., 2, 3] = 0
    assert corruption.abs().max() < 1e-3


def test_starts_from_the_seed():
    y = torch.zeros(1, 3, 40, 40)
    first, same, other = (DoubleOverparameterization(0.05, 1e-5) for _ in range(3))
    for ours, seed in ((first, 0), (same, 0), (other, 1)):
        ours.setup(problem(y), seed)
    assert torch.equal(first.g, same.g) and torch.equal(first.h, same.h)
    assert not torch.equal(first.g, other.g) and not torch.equal(first.g, first.h)
    assert float(first.g.std()) == pytest.approx(1e-5, rel=0.05)


def test_of_several_backward_passes_the_last_counts():
    y, image = torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    once, often = (DoubleOverparameterization(0.01, 0.1) for _ in range(2))
    for ours, passes in ((once, 1), (often, 3)):
        ours.setup(problem(y), 0)
        for _ in range(passes):
            MeanSquared("all")(image + ours.corruption(), y, None).backward()
        ours.after_step(image, 1)
        ours.after_step(image, 2)  # without a backward pass: nothing
    assert torch.equal(once.g, often.g) and torch.equal(once.h, often.h)


def test_no_step_without_a_backward_pass():
    ours = DoubleOverparameterization(0.01, 0.1)
    ours.setup(problem(torch.ones(1, 1, 4, 4)), 0)
    before = ours.g.clone()
    ours.corruption()
    ours.after_step(torch.zeros(1, 1, 4, 4), 1)
    assert torch.equal(ours.g, before)


def test_the_corruption_is_one_tensor():
    ours = DoubleOverparameterization(0.01, 0.1)
    ours.setup(problem(torch.ones(1, 1, 4, 4)), 0)
    first = ours.corruption()
    assert first.is_leaf and first.requires_grad
    ours.g.mul_(2)
    assert ours.corruption() is first and torch.allclose(first, ours.g.square() - ours.h.square())


def test_holes_stay_as_they_are():
    y, image = random(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    counted = (random(1, 1, 8, 8, seed=1) > 0.5).float()
    ours = DoubleOverparameterization(0.01, 0.1)
    ours.setup(problem(y), 0)
    before = ours.g.clone()
    MeanSquared("all")(image + ours.corruption(), y, counted).backward()
    ours.after_step(image, 1)
    assert torch.equal(before != ours.g, counted.expand_as(y) > 0)


def test_resume_bit_for_bit():
    y, image = random(1, 3, 8, 8), random(1, 3, 8, 8, seed=1)
    through, first, second = (DoubleOverparameterization(0.05, 0.01) for _ in range(3))
    for ours in (through, first, second):
        ours.setup(problem(y), 0)
    found(through, image, y, 20)
    found(first, image, y, 12)
    second.load_state_dict(first.state_dict())
    found(first, image, y, 5)  # goes on: the second must not notice
    assert torch.equal(found(second, image, y, 8), through.corruption())
    assert second.state_dict().keys() == {"g", "h"}


@pytest.mark.parametrize("key", ["lr", "init"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "abc"])
def test_wrong_values(key, value):
    with pytest.raises(ValueError, match=rf"regularizer\.double_overparameterization\.{key}={value}: .* above 0"):
        DoubleOverparameterization(**{"lr": 0.01, "init": 1e-5, key: value})


def test_yaml():
    regularizer = compose(["regularizer=[double_overparameterization,tv]"]).regularizer
    assert isinstance(instantiate(regularizer.double_overparameterization), DoubleOverparameterization)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_moves_to_the_device_of_the_observation():
    ours, given = DoubleOverparameterization(0.01, 0.1), problem(random(1, 3, 8, 8))
    ours.setup(given, 0)
    before = ours.g.clone()
    given.observation = given.observation.cuda()
    MeanSquared("all")(ours.corruption(), given.observation, None).backward()
    ours.after_step(given.observation, 1)
    assert ours.g.is_cuda and not torch.equal(ours.g.cpu(), before)
