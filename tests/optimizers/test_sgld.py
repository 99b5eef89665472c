import copy
import math

import pytest
import torch

from dip_lab.optimizers.sgld import SGLD

VALUES = {"lr": 0.01, "temperature": 1e-3, "weight_decay": 0.1, "alpha": 0.9, "eps": 1e-8, "seed": 0}
SHAPES = ((3, 4, 3, 3), (5, 7), (6,))


def randn(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(layout=torch.contiguous_format, **values):
    weights = [randn(*shape, seed=i) for i, shape in enumerate(SHAPES)]
    weights[0] = weights[0].contiguous(memory_format=layout)
    weights = [torch.nn.Parameter(weight) for weight in weights]
    return weights, SGLD(weights, **(VALUES | values))


def fitted(weights, optimizer, first, last):
    for step in range(first, last + 1):
        for i, weight in enumerate(weights):
            weight.grad = randn(*weight.shape, seed=100 * step + i)
        optimizer.step()
    return weights


def test_without_temperature_it_is_the_naive_formula():
    weights, optimizer = made(temperature=0)
    expected = [weight.detach().double() for weight in weights]
    v = [torch.zeros_like(w) for w in expected]
    for step in range(1, 8):
        fitted(weights, optimizer, step, step)
        for i, w in enumerate(expected):
            gradient = randn(*w.shape, seed=100 * step + i).double()
            v[i] = 0.9 * v[i] + 0.1 * gradient**2
            g = 1 / (1e-8 + torch.sqrt(v[i] / (1 - 0.9**step)))
            expected[i] = w - 0.01 * g * (gradient + 0.1 * w)
    for weight, w in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach().double(), w, rtol=0, atol=1e-5)


def test_the_variance_of_a_quadratic_is_the_temperature():
    """U = w^2 / 2 in 4000 dimensions with G = 1 / eps: an Ornstein-Uhlenbeck process, variance T / (1 - step / 2)."""
    weight = torch.nn.Parameter(torch.zeros(4000))
    optimizer = SGLD([weight], lr=100.0, temperature=0.3, weight_decay=0.0, alpha=0.9, eps=1000.0, seed=3)
    variances = []
    for step in range(300):
        weight.grad = weight.detach().clone()
        optimizer.step()
        if step >= 100:
            variances.append(float(weight.detach().square().mean()))
    assert sum(variances) / len(variances) == pytest.approx(0.3 / (1 - 0.1 / 2), rel=0.02)


def test_the_noise_is_scaled_by_the_preconditioner():
    weight = torch.nn.Parameter(torch.zeros(2, 20_000))
    weight.grad = torch.tensor([[1.0], [16.0]]).expand(2, 20_000).clone()
    SGLD([weight], lr=0.01, temperature=0.5, weight_decay=0.0, alpha=0.9, eps=1e-8, seed=0).step()
    for row, gradient in zip(weight.detach(), (1.0, 16.0), strict=True):
        assert float(row.std()) == pytest.approx(math.sqrt(2 * 0.01 * 0.5 / gradient), rel=0.03)
        assert float(row.mean()) == pytest.approx(-0.01, abs=0.003)


def test_the_noise_is_a_function_of_seed_and_step():
    def moved(**values):
        return torch.cat([weight.detach().flatten() for weight in fitted(*made(**values), 1, 2)])

    assert torch.equal(moved(), moved())
    assert not torch.equal(moved(), moved(seed=1))
    assert torch.allclose(moved(), moved(layout=torch.channels_last), atol=1e-6)

    weights, optimizer = made(weight_decay=0.0, lr=1.0)
    steps = []
    for _ in range(2):
        before = weights[1].detach().clone()
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        steps.append(weights[1].detach() - before)
    assert not torch.allclose(steps[0], steps[1])


def test_groups_have_their_own_rate_and_noise():
    weights = [torch.nn.Parameter(torch.zeros(1000)) for _ in range(2)]
    optimizer = SGLD([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.04}], **(VALUES | {"eps": 1.0}))
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    first, second = (weight.detach() for weight in weights)
    assert float(first.std()) == pytest.approx(math.sqrt(2 * 0.01 * 1e-3), rel=0.1)
    assert float(second.std()) == pytest.approx(math.sqrt(2 * 0.04 * 1e-3), rel=0.1)
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.15


def test_resumed_is_bit_exact():
    straight = fitted(*made(), 1, 8)
    first, optimizer = made()
    fitted(first, optimizer, 1, 5)
    state = copy.deepcopy(optimizer.state_dict())
    second, optimizer = made()
    for weight, other in zip(second, first, strict=True):
        weight.data.copy_(other)
    optimizer.load_state_dict(state)
    fitted(second, optimizer, 6, 8)
    assert all(torch.equal(a, b) for a, b in zip(second, straight, strict=True))


@pytest.mark.parametrize("key, value", [("lr", 0), ("temperature", -1e-9), ("temperature", "warm"),
                                        ("weight_decay", -1), ("alpha", 1), ("eps", 0)])
def test_wrong_values(key, value):
    with pytest.raises(ValueError, match=rf"optimizer\.{key}={value}: give a number"):
        SGLD([torch.nn.Parameter(torch.ones(1))], **(VALUES | {key: value}))
