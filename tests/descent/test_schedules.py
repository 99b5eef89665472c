import math
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, StepLR

from dip_lab.descent.schedules import Constant, Cosine, Step

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "optimizer" / "schedule"


def rates(schedule, iterations):
    """The learning rates of torch's schedule at iterations 1, 2, ..."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.01)
    schedule, found = schedule(optimizer), []
    for _ in range(iterations):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def ours(schedule, iterations):
    """The learning rates of our schedule, set as the module sets them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.01)
    found = []
    for iteration in range(1, iterations + 1):
        optimizer.param_groups[0]["lr"] = 0.01 * schedule(iteration)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_constant():
    assert ours(Constant(0), 30) == rates(lambda optimizer: LambdaLR(optimizer, lambda _: 1.0), 30)


@pytest.mark.parametrize("warmup", [1, 7, 20])
def test_warmup_is_torchs_linear(warmup):
    expected = rates(lambda optimizer: LinearLR(optimizer, 1 / warmup, 1, max(1, warmup - 1)), 30)
    assert ours(Constant(warmup), 30) == pytest.approx(expected)


@pytest.mark.parametrize("last", [0, 0.1, 1])
def test_cosine_is_torchs_one_step_on(last):
    expected = rates(lambda optimizer: CosineAnnealingLR(optimizer, 20, eta_min=0.01 * last), 21)
    assert ours(Cosine(0, 20, last), 20) == pytest.approx(expected[1:])  # ours ends at `last`, in the last iteration


def test_cosine_stays_at_the_end():
    assert [Cosine(0, 20, 0.1)(iteration) for iteration in (20, 21, 1000)] == pytest.approx([0.1] * 3)


def test_step_is_torchs():
    expected = rates(lambda optimizer: StepLR(optimizer, 5, 0.3), 23)
    assert ours(Step(0, 5, 0.3), 23) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", [Cosine(4, 20, 0.1), Step(4, 3, 0.5)], ids=["cosine", "step"])
def test_warmup_multiplies(schedule):
    plain = Cosine(0, 20, 0.1) if isinstance(schedule, Cosine) else Step(0, 3, 0.5)
    for iteration in range(1, 30):
        assert schedule(iteration) == pytest.approx(min(1, iteration / 4) * plain(iteration))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml(path):
    config = OmegaConf.create({"iterations": 50, "optimizer": {"schedule": OmegaConf.load(path)}})
    factors = [instantiate(config.descent.schedule)(iteration) for iteration in range(1, 2001)]
    assert all(math.isfinite(factor) and 0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize("make, message", [
    (lambda: Constant(-1), "descent.schedule.warmup=-1: give a whole number of at least 0"),
    (lambda: Constant(0.5), "descent.schedule.warmup=0.5: give a whole number of at least 0"),
    (lambda: Cosine(0, 0, 0.1), "descent.schedule.iterations=0: give a whole number of at least 1"),
    (lambda: Cosine(0, 10, 1.5), "descent.schedule.last=1.5: give a number at least 0 and at most 1"),
    (lambda: Step(0, 0, 0.5), "descent.schedule.every=0: give a whole number of at least 1"),
    (lambda: Step(0, 10, 0), "descent.schedule.factor=0: give a number above 0 and at most 1"),
])
def test_wrong_values(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
