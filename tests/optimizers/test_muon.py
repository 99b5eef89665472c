import copy
import math

import pytest
import torch

from dip_lab.optimizers.muon import Muon, orthogonalised
from dip_lab.precision import has_fast_bf16

ROUNDING = 2e-2 if has_fast_bf16("cpu") else 1e-5
SHAPES = {"conv": (6, 4, 3, 3), "same": (6, 4, 3, 3), "tall": (12, 3, 1, 1), "linear": (5, 7), "bias": (6,),
          "grey": (1, 4, 3, 3)}


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights(layout=torch.contiguous_format):
    made = {name: randn(*shape, seed=i) for i, (name, shape) in enumerate(SHAPES.items())}
    made = {name: w.contiguous(memory_format=layout) if w.ndim == 4 else w for name, w in made.items()}
    return {name: torch.nn.Parameter(w) for name, w in made.items()}


def give_gradients(named, step):
    for i, weight in enumerate(named.values()):
        weight.grad = randn(*weight.shape, seed=100 * step + i) + 0.2 * weight.detach()


def fitted(named, steps, optimizer, first=0):
    for step in range(first, first + steps):
        give_gradients(named, step)
        optimizer.step()


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 9, 9)])
def test_newton_schulz_against_the_svd(shape):
    matrices = randn(*shape) * torch.logspace(-4, 2, shape[0]).view(-1, 1, 1)
    u, _, vh = torch.linalg.svd(matrices.double(), full_matrices=False)
    result = orthogonalised(matrices)
    assert result.dtype == torch.float32
    inner = u.mT @ result.double() @ vh.mT  # diagonal when only the singular values changed
    values = inner.diagonal(dim1=-2, dim2=-1)
    assert values.min() > 0.5 and values.max() < 1.25
    assert (inner - torch.diag_embed(values)).abs().max() < ROUNDING


def test_zero_gradients_move_nothing():
    assert torch.equal(orthogonalised(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


def test_matrices_as_torch_muon():
    """The same matrices, laid out flat: torch's Muon takes only 2-D weights."""
    ours = {name: weight for name, weight in weights().items() if name not in ("bias", "grey")}
    flat = {name: torch.nn.Parameter(weight.detach().flatten(1).clone()) for name, weight in ours.items()}
    mine = Muon(ours.values(), lr=0.02, momentum=0.95, adam_lr=0.01)
    torchs = torch.optim.Muon(flat.values(), lr=0.02, momentum=0.95, weight_decay=0.0)
    for step in range(5):
        give_gradients(ours, step)
        for name, weight in flat.items():
            weight.grad = ours[name].grad.flatten(1)
        mine.step()
        torchs.step()
    for name, weight in flat.items():  # torch's works in bfloat16
        torch.testing.assert_close(ours[name].flatten(1), weight, rtol=0, atol=5e-3)


def test_a_tall_matrix_takes_a_larger_step():
    weight = torch.nn.Parameter(torch.zeros(12, 3, 1, 1))
    weight.grad = randn(12, 3, 1, 1)
    Muon([weight], lr=0.1, momentum=0.0, adam_lr=0.01).step()
    expected = -0.1 * math.sqrt(12 / 3) * orthogonalised(weight.grad.flatten(1)[None])[0]
    torch.testing.assert_close(weight.detach().flatten(1), expected)


def test_what_is_no_matrix_as_torch_adam():
    named = {name: weight for name, weight in weights().items() if name in ("bias", "grey")}
    twins = {name: torch.nn.Parameter(weight.detach().clone()) for name, weight in named.items()}
    fitted(named, 7, Muon(named.values(), lr=0.02, momentum=0.95, adam_lr=0.003))
    fitted(twins, 7, torch.optim.Adam(twins.values(), lr=0.003))
    for name, weight in twins.items():
        torch.testing.assert_close(named[name], weight)


def test_the_rate_of_a_group_scales_both_parts():
    def moved(factor):
        named = weights()
        before = {name: weight.detach().clone() for name, weight in named.items()}
        optimizer = Muon(named.values(), lr=0.02, momentum=0.95, adam_lr=0.003)
        optimizer.param_groups[0]["lr"] *= factor
        fitted(named, 1, optimizer)
        return {name: weight.detach() - before[name] for name, weight in named.items()}

    whole, half = moved(1), moved(0.5)
    for name in SHAPES:
        torch.testing.assert_close(half[name], whole[name] / 2, rtol=1e-3, atol=1e-6)


def test_a_learned_latent_takes_adam_with_its_own_rate():
    net, latent = torch.nn.Parameter(randn(4)), torch.nn.Parameter(randn(1, 2, 8, 8))
    before = latent.detach().clone()
    optimizer = Muon([{"params": [net]}, {"params": [latent], "lr": 0.1}], lr=0.02, momentum=0.95, adam_lr=0.003)
    latent.grad = randn(1, 2, 8, 8, seed=1)
    optimizer.step()
    torch.testing.assert_close(latent.detach(), before - 0.1 * latent.grad.sign(), rtol=0, atol=1e-5)


def test_channels_last_weights_keep_their_layout_and_take_the_same_steps():
    plain, last = weights(), weights(torch.channels_last)
    for named in (plain, last):
        fitted(named, 4, Muon(named.values(), lr=0.02, momentum=0.95, adam_lr=0.003))
    assert last["conv"].is_contiguous(memory_format=torch.channels_last)
    for name in SHAPES:
        torch.testing.assert_close(last[name], plain[name], rtol=0, atol=1e-6)


def test_resumed_is_bit_exact():
    def make():
        named = weights()
        return named, Muon(named.values(), lr=0.02, momentum=0.95, adam_lr=0.003)

    straight, optimizer = make()
    fitted(straight, 8, optimizer)
    first, optimizer = make()
    fitted(first, 5, optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    second, optimizer = make()
    for name, weight in second.items():
        weight.data.copy_(first[name])
    optimizer.load_state_dict(state)
    fitted(second, 3, optimizer, first=5)
    assert all(torch.equal(second[name], straight[name]) for name in SHAPES)


@pytest.mark.parametrize("key, value", [("lr", 0), ("lr", "fast"), ("momentum", 1), ("momentum", -0.1),
                                        ("adam_lr", 0.0), ("adam_lr", float("nan"))])
def test_wrong_values(key, value):
    with pytest.raises(ValueError, match=rf"optimizer\.{key}={value}: give a number"):
        Muon([torch.nn.Parameter(torch.ones(1))], **{"lr": 0.02, "momentum": 0.95, "adam_lr": 0.01, key: value})
