from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy import special

from dip_lab.problem import Problem
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.evaluation import FullFrame
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.masks import Bernoulli
from dip_lab.tasks.misfits import Huber, MeanAbsolute, MeanSquared, Misfit, Poisson
from dip_lab.tasks.views import View

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "task" / "misfit"
LAWS = {
    "mse": MeanSquared,
    "l1": MeanAbsolute,
    "huber": lambda over: Huber(over, 0.1),
    "poisson": lambda over: Poisson(over, 0.01),
}
SHAPE = (1, 3, 16, 20)
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def random(seed, shape=SHAPE):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[False, True], ids=["per-pixel", "per-channel"])
def counted(request):
    return (random(9, SHAPE if request.param else (1, 1, 16, 20)) > 0.8).float()


@pytest.fixture(params=[False, True], ids=["per-pixel", "per-channel"])
def masking(request, picture):
    operator = Masking(Bernoulli(path=None, polarity="white", missing=0.8, per_channel=request.param))
    operator.prepare(picture(16, 20), seed=0, given=False)
    return operator


def problem(observation, operator, misfit):
    return Problem(observation, operator, misfit, FullFrame(), View(), None, "answer", "name")


def test_mean_squared():
    p, y = random(0), random(1)
    assert torch.allclose(MeanSquared("all")(p, y, None), torch.nn.functional.mse_loss(p, y))


def test_mean_absolute():
    p, y = random(0), random(1)
    assert torch.allclose(MeanAbsolute("all")(p, y, None), torch.nn.functional.l1_loss(p, y))


def test_huber_is_the_square_up_to_delta_and_smooth_there():
    y = torch.zeros(1, 1, 1, 5)
    p = torch.tensor([0.05, -0.1, 0.1, 0.3, -1.0]).reshape_as(y)
    expected = (0.05**2 + 0.01 + 0.01 + (2 * 0.1 * 0.3 - 0.01) + (2 * 0.1 - 0.01)) / 5
    assert float(Huber("all", 0.1)(p, y, None)) == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(Huber("all", 2.0)(random(0), random(1), None), MeanSquared("all")(random(0), random(1), None))
    p = torch.tensor([0.0999, 0.1001]).reshape(1, 1, 1, 2).requires_grad_()
    (slope,) = torch.autograd.grad(Huber("all", 0.1)(p, torch.zeros(1, 1, 1, 2), None) * 2, p)
    assert torch.allclose(slope, torch.tensor(0.2), atol=1e-3)


def test_poisson_is_the_kullback_leibler_divergence_of_scipy():
    p, y = random(0), random(1)
    y[..., :4] = 0
    expected = special.kl_div(y.double().numpy() + 0.02, p.double().numpy() + 0.02).mean()
    assert float(Poisson("all", 0.02)(p, y, None)) == pytest.approx(expected, rel=1e-4)


def test_poisson_of_counts_is_half_the_square_over_the_variance():
    clean = torch.full((1, 1, 64, 64), 0.5)
    counts = clean + 1e-2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    value = Poisson("all", 1e-6)(clean, counts, None)
    assert float(value) == pytest.approx(float((counts - clean).square().mean() / (2 * 0.5)), rel=1e-2)


def test_poisson_is_finite_on_black_and_below():
    y = random(1)
    y[..., :4] = 0
    p = torch.zeros(SHAPE)
    p[..., ::2] = -0.1  # a resampled image may be there
    p.requires_grad_()
    value = Poisson("all", 0.01)(p, y - 0.05, None)
    value.backward()
    assert value.isfinite() and p.grad.isfinite().all()


@every_law
def test_not_negative_and_0_at_equality(law):
    misfit, y = law("all"), random(1)
    y[..., :2] = 0
    assert float(misfit(y, y, None)) == pytest.approx(0, abs=1e-8)
    assert (misfit.terms(random(0), y) >= -1e-7).all() and misfit(random(0), y, None) > 1e-4
    p = y.clone().requires_grad_()
    misfit(p, y, None).backward()
    assert p.grad.abs().max() < 1e-6


@every_law
def test_only_what_is_counted_counts(law, counted):
    p, y = random(0).requires_grad_(), random(1)
    other = torch.where(counted > 0, y, random(2))
    for over in ("all", "counted"):
        value = law(over)(p, y, counted)
        assert torch.equal(value, law(over)(p, other, counted))
        (gradient,) = torch.autograd.grad(value, p)
        assert not (gradient * (1 - counted)).any() and (gradient * counted).any()


@every_law
def test_over_all_or_over_the_counted(law, counted):
    p, y = random(0), random(1)
    everything, only = law("all")(p, y, counted), law("counted")(p, y, counted)
    share = counted.mean()
    assert 0.1 < share < 0.3 and torch.allclose(everything, only * share)
    assert torch.allclose(only, law("all").terms(p, y)[counted.expand(SHAPE) > 0].mean())
    for over in ("all", "counted"):
        assert torch.allclose(law(over)(p, y, torch.ones(1, 1, 16, 20)), law(over)(p, y, None))


def test_masked_mean_square_is_published(counted):
    p, y = random(0), random(1)
    expected = torch.nn.functional.mse_loss(p * counted, y * counted)
    assert torch.allclose(MeanSquared("all")(p, y, counted), expected)


@every_law
@pytest.mark.parametrize("over", ["all", "counted"])
def test_float32_scalars_from_bfloat16(law, over, counted):
    for share in (None, counted):
        value = law(over)(random(0).bfloat16(), random(1), share)
        assert value.dtype == torch.float32 and value.shape == ()
        assert torch.equal(value, law(over)(random(0).bfloat16().float(), random(1), share))


@every_law
def test_other_values_of_over_are_refused(law):
    with pytest.raises(ValueError, match=r"task\.misfit\.over=known: choose all or counted"):
        law("known")


@pytest.mark.parametrize("value", [0, -1, float("nan"), True, "abc"])
@pytest.mark.parametrize("law, key", [(Huber, "delta"), (Poisson, "background")])
def test_other_numbers_are_refused(law, key, value):
    with pytest.raises(ValueError, match=rf"task\.misfit\.{key}={value}: give a number above 0"):
        law("all", value)


@pytest.mark.parametrize("path", sorted(path for path in CONFIGS.glob("*.yaml") if "over:" in path.read_text()),
                         ids=lambda path: path.stem)
def test_every_yaml(path):
    misfit = instantiate(OmegaConf.load(path))
    assert isinstance(misfit, Misfit) and misfit.over == "all"


@every_law
def test_problem_counts_what_the_operator_knows(law, masking):
    misfit, image, y = law("all"), random(0), random(1)
    expected = misfit(image * masking.known, y, masking.known)
    assert torch.equal(problem(y, masking, misfit).misfit(image), expected)
    assert torch.equal(problem(y, Identity(), misfit).misfit(image), misfit(image, y, None))


@every_law
@pytest.mark.parametrize("over", ["all", "counted"])
def test_held_out_values_do_not_count(law, over):
    y, held = random(1), random(3) > 0.7
    ours, other = (problem(torch.where(held, z, y), Identity(), law(over)) for z in (y, random(4)))
    ours.hold_out(held)
    other.hold_out(held)
    image = random(0).requires_grad_()
    value = ours.misfit(image)
    assert torch.equal(value, other.misfit(image)) and value > 0
    assert torch.allclose(value, law(over)(image, y, (~held).float()))
    (gradient,) = torch.autograd.grad(value, image)
    assert not gradient[held].any() and (gradient[~held] != 0).float().mean() > 0.99


@every_law
def test_holding_out_leaves_the_holes_out(law, masking):
    ours = problem(random(1), masking, law("all"))
    held = random(3) > 0.7
    ours.hold_out(held)
    image = random(0).requires_grad_()
    (gradient,) = torch.autograd.grad(ours.misfit(image), image)
    inside = (masking.known > 0) & ~held
    assert not gradient[~inside].any() and gradient[inside].any()
    ours.hold_out(torch.ones(SHAPE, dtype=torch.bool))  # and what was held out stays out
    assert float(ours.misfit(image.detach())) == 0


@every_law
def test_a_corruption_is_added_to_the_prediction(law, masking):
    misfit, image, y = law("all"), random(0), random(1)
    corruption = (0.1 * random(5)).requires_grad_()
    value = problem(y, masking, misfit).misfit(image, corruption=corruption)
    assert torch.equal(value, misfit(image * masking.known + corruption, y, masking.known))
    (gradient,) = torch.autograd.grad(value, corruption)
    assert not (gradient * masking.hole).any() and (gradient * masking.known).any()
