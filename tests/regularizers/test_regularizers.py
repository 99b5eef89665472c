from types import SimpleNamespace

import pytest
import torch

from dip_lab.frames import ALL
from dip_lab.regularizers.regularizer import Regularizer, Together
from dip_lab.regularizers.tv import TotalVariation


class Spy(Regularizer):
    """Adds a constant and a corruption, and notes what it is told."""

    saved = ("seen",)

    def __init__(self, term, corruption=None):
        self.term, self.there, self.seen = term, corruption, None

    def setup(self, problem, seed):
        self.problem = (problem, seed)

    def __call__(self, image, frames=ALL):
        self.frames = frames
        return self.term * image.mean()

    def corruption(self):
        return self.there

    def after_step(self, image, iteration):
        self.seen = image * iteration


def test_none_adds_nothing():
    nothing, misfit = Together({}), torch.tensor(0.3)
    nothing.setup(SimpleNamespace(), 0)
    assert torch.equal(misfit + nothing(torch.rand(1, 3, 4, 4)), misfit)
    assert nothing.corruption() is None
    nothing.after_step(torch.rand(1, 3, 4, 4), 1)
    nothing.load_state_dict(nothing.state_dict())


def test_together_is_the_sum():
    image = torch.rand(1, 3, 4, 4)
    a, b, c = Spy(2, torch.full((2,), 0.25)), Spy(0.5), Spy(1, torch.full((2,), 0.5))
    both = Together({"a": a, "b": b, "c": c})
    both.setup("problem", 7)
    assert a.problem == b.problem == c.problem == ("problem", 7)
    assert float(both(image, slice(2, 3))) == pytest.approx(3.5 * float(image.mean()))
    assert a.frames == b.frames == c.frames == slice(2, 3)
    assert torch.equal(both.corruption(), torch.full((2,), 0.75))
    assert Together({"b": b}).corruption() is None and Together({"a": a, "b": b}).corruption() is a.there
    both.after_step(image, 3)
    assert torch.equal(b.seen, 3 * image)


def test_together_keeps_the_state_of_each():
    image = torch.rand(1, 1, 4, 4)
    fitted = Together({"a": Spy(1), "plain": TotalVariation(1e-7, True), "b": Spy(1)})
    fitted.after_step(image, 2)
    state = fitted.state_dict()
    other = Together({"a": Spy(1), "plain": TotalVariation(1e-7, True), "b": Spy(1)})
    other.load_state_dict(state)
    assert torch.equal(other.terms["a"].seen, 2 * image)
    assert other.terms["a"].seen is not state["a"]["seen"]  # a copy: the state stays what it was
    kept = other.terms["b"].seen
    fitted.after_step(image, 5)
    other.load_state_dict(fitted.state_dict())
    assert other.terms["b"].seen is kept and torch.equal(kept, 5 * image)  # in place


@pytest.mark.parametrize("isotropic", [True, False])
def test_tv_is_the_published_sum(isotropic):
    image = torch.rand(1, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for channel in image[0].double():
        for y in range(5):
            for x in range(8):
                dx, dy = channel[y, x + 1] - channel[y, x], channel[y + 1, x] - channel[y, x]
                expected += float((dx**2 + dy**2).sqrt() if isotropic else dx.abs() + dy.abs())
    tv = TotalVariation(0.25, isotropic)(image)
    assert tv.shape == () and float(tv) == pytest.approx(0.25 * expected, rel=1e-5)


@pytest.mark.parametrize("isotropic", [True, False])
def test_tv_gradient_is_finite_on_flat_areas(isotropic):
    image = torch.full((1, 1, 8, 8), 0.5)
    image[..., 4] = 1
    image.requires_grad_()
    TotalVariation(1.0, isotropic)(image).backward()
    assert image.grad.isfinite().all()
    assert image.grad[..., 3, 4] > 0.5 and image.grad[..., 3, 1] == 0  # lowers the line only


def test_tv_sums_in_float32():
    image = torch.linspace(0, 1, 64).expand(1, 1, 64, 64).bfloat16()
    assert TotalVariation(1.0, True)(image).dtype == torch.float32


@pytest.mark.parametrize("weight", [-1e-7, float("nan"), True, "abc"])
def test_wrong_weight(weight):
    with pytest.raises(ValueError, match=rf"regularizer\.tv\.weight={weight}: give a number at least 0"):
        TotalVariation(weight, True)


def test_wrong_isotropic():
    with pytest.raises(ValueError, match=r"regularizer\.tv\.isotropic=yes: choose true or false"):
        TotalVariation(1e-7, "yes")
