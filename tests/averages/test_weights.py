import copy

import pytest
import torch
from torch.func import functional_call

from dip_lab.averages.weights import WeightAverage
from dip_lab.generator import Generator
from dip_lab.latents.learned import Learned
from dip_lab.latents.noise import Noise
from dip_lab.nets.skip import Skip


def make(learned=False):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Skip(2, 3, 4, 2, None, 2, 3, 3, 1, "stride", "bilinear", "reflection", True, "leaky_relu")
    latent = Noise("uniform", 0.1, 2, 0.03)
    latent = Learned(latent, 0.01) if learned else latent
    whole = {"factor": 1, "iterations": 0}
    generator = Generator(net, latent, (10, 13), "float32", seed=0, coarse_to_fine=whole)
    return generator, torch.optim.Adam(generator.parameters(), lr=0.01)


def fitted(generator, optimizer, average, first, last):
    """Iterations `first` to `last`; the weights after each, in float64."""
    history = []
    for iteration in range(first, last + 1):
        optimizer.zero_grad()
        output = generator(iteration)
        output.square().mean().backward()
        optimizer.step()
        average.update(output.detach(), iteration, generator)
        history.append({name: w.detach().double() for name, w in generator.named_parameters()})
    return history


@pytest.mark.parametrize("learned", [False, True])
def test_image_of_the_averaged_weights(learned):
    generator, optimizer = make(learned)
    average = WeightAverage(0.8, every=4)
    history = fitted(generator, optimizer, average, 1, 8)
    expected = history[0]
    for weights in history[1:]:
        expected = {name: 0.8 * expected[name] + 0.2 * weights[name] for name in weights}
    twin = copy.deepcopy(generator).double()
    image = functional_call(twin, expected, (None,)).detach()
    torch.testing.assert_close(average.image, image.float(), rtol=0, atol=1e-4)
    assert not torch.allclose(average.image, generator(None).detach(), atol=1e-3)


def test_between_refreshes_the_image_stays_and_before_the_first_it_is_the_output():
    generator, optimizer = make()
    average = WeightAverage(0.5, every=3)
    assert average.image is None
    image, seen = None, []
    for iteration in range(1, 9):
        output = generator(iteration).detach()
        average.update(output, iteration, generator)
        image = average.image if image is None else image
        assert average.image is image
        if iteration < 3:
            assert torch.equal(image, output)
        seen.append(image.clone())
    same = [torch.equal(a, b) for a, b in zip(seen[2:], seen[3:], strict=False)]
    assert same == [True, True, True, True, True]  # nothing was learned: each refresh gives the same image
    fitted(generator, optimizer, average, 9, 9)
    assert not torch.equal(average.image, seen[-1])
    after = average.image.clone()
    fitted(generator, optimizer, average, 10, 11)
    assert torch.equal(average.image, after)


def test_the_fit_does_not_notice():
    def outcome(average):
        generator, optimizer = make()
        fitted(generator, optimizer, average, 1, 6)
        return generator

    class Nothing:
        def update(self, output, iteration, generator):
            pass

    watched, alone = outcome(WeightAverage(0.9, every=1)), outcome(Nothing())
    for (name, a), b in zip(watched.state_dict().items(), alone.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert any("running_mean" in name for name in watched.state_dict())


@pytest.mark.parametrize("stop", [2, 5])
def test_resumed_is_bit_exact_and_snapshots_go_back(stop):
    straight = WeightAverage(0.9, every=4)
    fitted(*make(), straight, 1, 10)

    first, (generator, optimizer) = WeightAverage(0.9, every=4), make()
    empty = copy.deepcopy(first.state_dict())
    fitted(generator, optimizer, first, 1, stop)
    second = WeightAverage(0.9, every=4)
    second.load_state_dict(first.state_dict())
    snapshot, image = copy.deepcopy(first.state_dict()), first.image
    assert torch.equal(second.image, image)
    fitted(generator, optimizer, second, stop + 1, 10)
    assert torch.equal(second.image, straight.image)
    for name, weight in straight.state_dict()["weights"].items():
        assert torch.equal(second.state_dict()["weights"][name], weight)
        assert torch.equal(first.state_dict()["weights"][name], snapshot["weights"][name])  # loading copied

    fitted(generator, optimizer, first, 11, 12)
    first.load_state_dict(snapshot)
    assert first.image is image and torch.equal(image, snapshot["image"])
    first.load_state_dict(empty)
    assert first.image is None and first.state_dict() == {}
    fitted(*make(), first, 1, 10)
    assert torch.equal(first.image, straight.image)


@pytest.mark.parametrize("key, value", [("decay", 1), ("decay", "abc"), ("every", 0), ("every", 2.5)])
def test_wrong_values(key, value):
    with pytest.raises(ValueError, match=rf"average\.{key}={value}: give a"):
        WeightAverage(**{"decay": 0.99, "every": 10, key: value})
