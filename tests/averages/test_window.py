import copy

import pytest
import torch

from dip_lab.averages.window import Window

OUTPUTS = list(torch.rand(60, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0)))
ALL = len(OUTPUTS)
STEP = 0.5 / (2**15 - 1)  # the rounding of a stored value


def shown(average, first=1, last=ALL):
    for iteration in range(first, last + 1):
        average.update(OUTPUTS[iteration - 1], iteration)
    return average


@pytest.mark.parametrize("window", [1, 2, 7, 100])
def test_mean_of_the_last_outputs(window):
    average = Window(window)
    assert average.image is None
    for i, output in enumerate(OUTPUTS):
        average.update(output, i + 1)
        expected = torch.cat(OUTPUTS[max(0, i + 1 - window) : i + 1]).double().mean(0, keepdim=True)
        torch.testing.assert_close(average.image.double(), expected, rtol=0, atol=STEP + 1e-7)


def test_nothing_of_the_past_is_left():
    """Also for values that no picture should have."""
    average = Window(5)
    for value in (float("nan"), 3.0, float("inf"), -1.0):
        average.update(torch.full((1, 1, 2, 2), value), 1)
    for _ in range(2000):
        average.update(torch.full((1, 1, 2, 2), 0.7), 1)
    torch.testing.assert_close(average.image, torch.full((1, 1, 2, 2), 0.7), rtol=0, atol=STEP + 1e-7)


def test_white_does_not_overflow_the_largest_sum():
    average = Window(65538)
    average.update(torch.ones(1, 1, 1, 1), 1)
    average.load_state_dict({**average.state_dict(), "sum": torch.full((1, 1, 1, 1), 32767 * 65537).int(),
                             "seen": 65537})
    average.update(torch.ones(1, 1, 1, 1), 2)
    assert average.image.item() == pytest.approx(1)


def test_updates_in_place_and_leaves_the_outputs_alone():
    average, before = Window(3), OUTPUTS[0].clone()
    average.update(OUTPUTS[0], 1)
    image = average.image
    average.update(OUTPUTS[1], 2)
    assert average.image is image
    assert torch.equal(OUTPUTS[0], before)


def test_bytes_per_value():
    state = shown(Window(10)).state_dict()
    stored = sum(tensor.nbytes for tensor in state.values() if torch.is_tensor(tensor))
    assert stored == (2 * 10 + 8) * OUTPUTS[0].numel()


@pytest.mark.parametrize("stop", [3, 25])
def test_resumed_is_bit_exact_and_snapshots_go_back(stop):
    straight, first, second = shown(Window(10)), Window(10), Window(10)
    empty = copy.deepcopy(first.state_dict())
    shown(first, last=stop)
    second.load_state_dict(first.state_dict())
    assert torch.equal(shown(second, stop + 1).image, straight.image)
    assert not torch.equal(first.image, straight.image)  # loading copied
    snapshot, image = copy.deepcopy(first.state_dict()), first.image
    shown(first, stop + 1)
    first.load_state_dict(snapshot)
    assert first.image is image and torch.equal(image, snapshot["image"])
    assert torch.equal(shown(first, stop + 1).image, straight.image)
    first.load_state_dict(empty)
    assert first.image is None
    assert torch.equal(shown(first).image, straight.image)


@pytest.mark.parametrize("window", [0, -1, 2.5, True, "abc", None, 65539])
def test_wrong_window(window):
    with pytest.raises(ValueError, match=rf"average\.window={window}: give a whole number from 1 to 65538"):
        Window(window)
