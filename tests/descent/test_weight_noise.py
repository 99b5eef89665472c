import copy

import pytest
import torch
from torch import nn

from dip_lab.descent.weight_noise import WeightNoise


@pytest.fixture
def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.Conv2d(32, 24, 3), nn.Flatten(),
                             nn.Linear(96, 64))


def after(net, scale, seed, iteration):
    net = copy.deepcopy(net)
    WeightNoise(scale, seed)(net, iteration)
    return weights_of(net)


def weights_of(net):
    return {name: weight.detach() for name, weight in net.named_parameters()}


def test_noise_is_a_share_of_the_standard_deviation(net):
    noisy = after(net, 0.05, 0, 1)
    for name, weight in weights_of(net).items():
        if weight.ndim > 1:
            noise = noisy[name] - weight
            assert float(noise.std()) == pytest.approx(0.05 * float(weight.std()), rel=0.05)
            assert abs(float(noise.mean())) < 4 * float(noise.std()) / weight.numel() ** 0.5
            assert abs(float(torch.corrcoef(torch.stack((noise.flatten(), weight.flatten())))[0, 1])) < 0.06


def test_vectors_and_buffers_stay(net):
    noisy = copy.deepcopy(net)
    WeightNoise(0.05, 0)(noisy, 1)
    changed = {name for name, value in noisy.state_dict().items() if not torch.equal(value, net.state_dict()[name])}
    assert changed == {"0.weight", "2.weight", "4.weight"}


def test_a_function_of_seed_and_iteration_alone(net):
    first = after(net, 0.05, 3, 7)
    torch.manual_seed(1)
    for name, weight in after(net, 0.05, 3, 7).items():
        assert torch.equal(weight, first[name])
    for other in (after(net, 0.05, 4, 7), after(net, 0.05, 3, 8)):
        assert not torch.equal(other["0.weight"], first["0.weight"])
    before = weights_of(net)
    noise = [(first[name] - before[name]).flatten()[:4000] for name in ("0.weight", "2.weight")]
    assert abs(float(torch.corrcoef(torch.stack(noise))[0, 1])) < 0.06  # each weight has its own


def test_the_memory_format_changes_nothing(net):
    plain, channels_last = after(net, 0.05, 0, 1), after(net.to(memory_format=torch.channels_last), 0.05, 0, 1)
    for name, weight in plain.items():
        assert torch.allclose(weight, channels_last[name], atol=1e-7)
    assert channels_last["0.weight"].is_contiguous(memory_format=torch.channels_last)


def test_0_is_exactly_nothing(net):
    state = torch.random.get_rng_state()
    for name, weight in after(net, 0, 0, 1).items():
        assert torch.equal(weight, weights_of(net)[name])
    assert torch.equal(state, torch.random.get_rng_state())


def test_gradients_are_left_alone(net):
    net[0].weight.grad = torch.ones_like(net[0].weight)
    WeightNoise(0.05, 0)(net, 1)
    assert torch.equal(net[0].weight.grad, torch.ones_like(net[0].weight)) and net[0].weight.requires_grad


@pytest.mark.parametrize("scale", [-0.1, float("nan"), True, "abc"])
def test_wrong_scale(scale):
    with pytest.raises(ValueError, match=rf"descent\.weight_noise={scale}: give a number at least 0"):
        WeightNoise(scale, 0)
