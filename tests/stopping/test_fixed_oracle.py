import io
from types import SimpleNamespace

import pytest
import torch

from dip_lab.stopping.fixed import Fixed
from dip_lab.stopping.oracle import Oracle

SHAPE = (1, 3, 4, 5)
TARGET = torch.full(SHAPE, 0.5)


def outputs_at(errors):
    return [TARGET + error for error in errors]


def made(rule, target=TARGET):
    rule.setup(SimpleNamespace(target=target, image_shape=SHAPE), seed=0)
    return rule


def test_fixed_keeps_the_last_image_and_never_stops():
    rule = made(Fixed(), target=None)
    outputs = outputs_at([0.3, 0.1, 0.2])
    for iteration, output in enumerate(outputs, 1):
        rule.observe(iteration, output, output * 2)
        assert bool(rule.better)
    assert (rule.chosen_iteration, rule.stale, rule.stop, rule.statistic) == (3, 0, False, None)
    assert torch.equal(rule.kept_output, outputs[-1]) and torch.equal(rule.kept_average, outputs[-1] * 2)
    assert not rule.uses_target and rule.reason == "reached the iteration limit"


def test_kept_images_are_copies():
    rule, output = made(Fixed()), TARGET.clone()
    rule.observe(1, output, None)
    output.zero_()
    assert torch.equal(rule.kept_output, TARGET) and rule.kept_average is None


def test_oracle_takes_the_highest_psnr():
    rule = made(Oracle(every=1))
    for iteration, output in enumerate(outputs_at([0.3, 0.01, 0.2, 0.1]), 1):
        rule.observe(iteration, output)
    assert rule.uses_target and not rule.stop
    assert (rule.chosen_iteration, rule.stale) == (2, 2)
    assert torch.equal(rule.kept_output, TARGET + 0.01)
    assert rule.statistic == pytest.approx(20, abs=1e-4)  # of the last look: 20 log10(1 / 0.1)
    assert rule.why_may_stop == "oracle 40.00 dB at 2"


def test_oracle_judges_the_average_where_there_is_one():
    rule = made(Oracle(every=1))
    for iteration, (output, average) in enumerate([(0, 0.3), (0.4, 0.1), (0.4, 0.2)]):
        rule.observe(iteration, TARGET + output, TARGET + average)
    assert rule.chosen_iteration == 1
    assert torch.equal(rule.kept_average, TARGET + 0.1) and torch.equal(rule.kept_output, TARGET + 0.4)


def test_oracle_looks_every_so_often_and_at_the_first():
    rule = made(Oracle(every=3))
    looked = []
    for iteration, output in enumerate(outputs_at([0.4, 0.0, 0.2, 0.1, 0.05, 0.01]), 1):
        rule.observe(iteration, output)
        looked.append(bool(rule.better))
    assert looked == [True, False, True, False, False, True]
    assert rule.chosen_iteration == 6


def test_oracle_psnr_is_of_clamped_images():
    rule = made(Oracle(every=1), target=torch.ones(SHAPE))
    rule.observe(1, torch.full(SHAPE, 0.9))
    assert rule.statistic == pytest.approx(20, abs=1e-4)
    rule.observe(2, torch.full(SHAPE, 1.5))
    assert rule.chosen_iteration == 2
    assert rule.statistic is None  # a perfect image: infinite, and not a JSON number


def test_oracle_without_a_target_is_refused():
    with pytest.raises(ValueError, match="stopping=oracle needs the target.*try stopping=wmv"):
        made(Oracle(every=1), target=None)
    with pytest.raises(ValueError, match=r"stopping\.every=0"):
        Oracle(every=0)


def test_oracle_resumes():
    first, second = made(Oracle(every=2)), made(Oracle(every=2))
    errors = outputs_at([0.3, 0.1, 0.2, 0.15])
    for iteration in (0, 1, 2):
        first.observe(iteration, errors[iteration])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    second.observe(3, errors[3])
    assert second.chosen_iteration == 2 and not bool(second.better)
    assert second.statistic == pytest.approx(first.statistic)
    assert torch.equal(second.kept_output, errors[2])
