import copy

import pytest
import torch

from dip_lab.averages.ema import EMA
from dip_lab.averages.none import NoAverage

OUTPUTS = list(torch.rand(12, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.5, 0.99])
def test_published_formula(decay):
    ema = EMA(decay)
    assert ema.image is None
    expected = OUTPUTS[0].double()
    for i, output in enumerate(OUTPUTS):
        ema.update(output, i + 1)
        if i:
            expected = decay * expected + (1 - decay) * output.double()
        torch.testing.assert_close(ema.image.double(), expected, rtol=0, atol=1e-6)


def test_corrected_gives_each_output_the_weight_of_its_age():
    ema, decay = EMA(0.9, corrected=True), 0.9
    for i, output in enumerate(OUTPUTS, 1):
        ema.update(output, i)
        ages = [decay ** (i - j) for j in range(1, i + 1)]
        expected = sum(age * past.double() for age, past in zip(ages, OUTPUTS, strict=False)) / sum(ages)
        torch.testing.assert_close(ema.image.double(), expected, rtol=0, atol=1e-6)


def test_updates_in_place_and_leaves_the_outputs_alone():
    ema, before = EMA(0.5), OUTPUTS[0].clone()
    ema.update(OUTPUTS[0], 1)
    image = ema.image
    ema.update(OUTPUTS[1], 2)
    assert ema.image is image
    assert torch.equal(OUTPUTS[0], before)


def test_resumed_is_bit_exact_and_snapshots_go_back():
    straight, first, second = EMA(0.9), EMA(0.9), EMA(0.9)
    empty = copy.deepcopy(first.state_dict())
    for i, output in enumerate(OUTPUTS, 1):
        straight.update(output, i)
    for i, output in enumerate(OUTPUTS[:5], 1):
        first.update(output, i)
    second.load_state_dict(first.state_dict())
    for i, output in enumerate(OUTPUTS[5:], 6):
        second.update(output, i)
    assert torch.equal(second.image, straight.image)
    assert not torch.equal(first.image, straight.image)  # loading copied
    snapshot, image = copy.deepcopy(first.state_dict()), first.image
    first.update(OUTPUTS[5], 6)
    first.load_state_dict(snapshot)
    assert first.image is image and torch.equal(image, snapshot["image"])
    first.load_state_dict(empty)
    assert first.image is None


@pytest.mark.parametrize("decay", [-0.1, 1, 1.5, float("nan"), True, "abc", None])
def test_wrong_decay(decay):
    with pytest.raises(ValueError, match=rf"average\.decay={decay}: give a number at least 0 and below 1"):
        EMA(decay)


def test_none_has_no_image():
    average = NoAverage()
    average.update(OUTPUTS[0], 1)
    average.load_state_dict(average.state_dict())
    assert average.image is None and average.state_dict() == {}
