import copy

import numpy as np
import pytest
import torch

from dip_lab.averages.posterior import Posterior

OUTPUTS = list(0.9 + 0.1 * torch.rand(40, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0)))
ALL = len(OUTPUTS)


def shown(posterior, first=1, last=ALL):
    for iteration in range(first, last + 1):
        posterior.update(OUTPUTS[iteration - 1], iteration)
    return posterior


@pytest.mark.parametrize("burn_in, every", [(0, 1), (7, 1), (10, 3), (0, 7)])
def test_mean_and_deviation_of_the_kept_samples(burn_in, every):
    posterior = shown(Posterior(burn_in, every))
    kept = np.stack([OUTPUTS[i - 1].double().numpy() for i in range(burn_in + every, ALL + 1, every)])
    assert posterior.samples == len(kept)
    np.testing.assert_allclose(posterior.image.numpy(), kept.mean(0), atol=1e-6)
    np.testing.assert_allclose(posterior.deviation.numpy(), kept.std(0, ddof=1), atol=1e-6)


def test_there_is_always_an_answer():
    posterior = Posterior(5, 2)
    assert posterior.image is None and posterior.deviation is None
    for iteration in range(1, 8):
        posterior.update(OUTPUTS[iteration], iteration)
        assert torch.equal(posterior.image, OUTPUTS[iteration])
        assert posterior.samples == (iteration == 7) and posterior.deviation is None
    posterior.update(OUTPUTS[8], 8)
    assert torch.equal(posterior.image, OUTPUTS[7])


def test_updates_in_place_and_leaves_the_outputs_alone():
    before = [output.clone() for output in OUTPUTS]
    posterior = Posterior(3, 2)
    posterior.update(OUTPUTS[0], 1)
    image = posterior.image
    assert shown(posterior, 2).image is image
    assert all(torch.equal(output, copied) for output, copied in zip(OUTPUTS, before, strict=True))


@pytest.mark.parametrize("stop", [4, 20])
def test_resumed_is_bit_exact_and_snapshots_go_back(stop):
    straight, first, second = shown(Posterior(10, 3)), Posterior(10, 3), Posterior(10, 3)
    empty = copy.deepcopy(first.state_dict())
    shown(first, last=stop)
    second.load_state_dict(first.state_dict())
    shown(second, first=stop + 1)
    assert torch.equal(second.image, straight.image) and torch.equal(second.deviation, straight.deviation)
    assert not torch.equal(first.image, straight.image)  # loading copied
    snapshot, image = copy.deepcopy(first.state_dict()), first.image
    shown(first, stop + 1)
    first.load_state_dict(snapshot)
    assert first.image is image and torch.equal(image, snapshot["image"])
    first.load_state_dict(empty)
    assert first.image is None and first.deviation is None and first.samples == 0
    assert torch.equal(shown(first).image, straight.image)


@pytest.mark.parametrize("key, value", [("burn_in", -1), ("burn_in", 1.5), ("every", 0), ("every", "often")])
def test_wrong_values(key, value):
    with pytest.raises(ValueError, match=rf"average\.{key}={value}: give a whole number of at least"):
        Posterior(**{"burn_in": 0, "every": 1, key: value})
