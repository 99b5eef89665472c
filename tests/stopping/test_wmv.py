import copy
import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from shared import DATA, shared

from dip_lab.stopping.wmv import WMV

SHAPE = (1, 3, 6, 7)
PROBLEM = SimpleNamespace(target=None, image_shape=SHAPE)


def made(window=5, patience=12, min_start=0, pixels=None, problem=PROBLEM):
    rule = WMV(window=window, patience=patience, min_start=min_start, pixels=pixels)
    rule.setup(problem, seed=3)
    return rule


def valley(length, bottom, seed=0, floor=0.02):
    """Outputs whose step-to-step change is smallest around `bottom`."""
    generator = torch.Generator().manual_seed(seed)
    size = floor + 0.4 * (torch.arange(length) - bottom).abs() / length
    return [0.5 + s * torch.randn(SHAPE, generator=generator) for s in size]


def naive(outputs, iterations, window, patience, min_start):
    """(variances, chosen, stopped) straight from the definition, all outputs kept, float64."""
    variances, best, chosen, stopped = [], float("inf"), None, None
    for i, iteration in enumerate(iterations):
        if i + 1 < window:
            variances.append(None)
            chosen = iteration
            continue
        block = torch.stack([x.double().flatten() for x in outputs[i + 1 - window : i + 1]])
        variances.append(float((block - block.mean(0)).square().mean()))
        if stopped is not None:
            continue
        if iteration < min_start:
            chosen = iteration
        elif variances[-1] < best:
            best, chosen = variances[-1], iteration
        elif iteration - chosen >= patience:
            stopped = iteration
    return variances, chosen, stopped


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("window", "min_start"), [(2, 0), (5, 20), (9, 0)])
def test_equals_the_definition(seed, window, min_start):
    outputs = valley(90, bottom=40, seed=seed)
    variances, chosen, stopped = naive(outputs, range(1, 91), window, 12, min_start)
    rule = made(window, 12, min_start)
    stopped_at = None
    for iteration, (output, variance) in enumerate(zip(outputs, variances, strict=True), 1):
        rule.observe(iteration, output, None)
        assert rule.statistic == (None if variance is None else pytest.approx(variance, rel=1e-9))
        if rule.stop and stopped_at is None:
            stopped_at = iteration
    assert (rule.chosen_iteration, stopped_at) == (chosen, stopped)
    assert stopped is not None
    assert torch.equal(rule.kept_output, outputs[chosen - 1])


def test_small_variance_on_a_large_mean_does_not_cancel():
    generator = torch.Generator().manual_seed(0)
    outputs = [1 + 1e-6 * torch.randn(SHAPE, generator=generator) for _ in range(400)]
    rule = made(window=100)
    for iteration, output in enumerate(outputs):
        rule.observe(iteration, output)
    block = torch.stack(outputs[-100:]).double()
    assert rule.statistic == pytest.approx(float((block - block.mean(0)).square().mean()), rel=1e-3)


def saved_and_loaded(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("middle", [0, 3, 37, 60])
def test_resumed_state_is_bit_exact(middle):
    outputs = valley(80, bottom=35)
    averages = [0.9 * x for x in outputs]
    straight, first, second = made(pixels=50), made(pixels=50), made(pixels=50)
    for i in range(80):
        straight.observe(i, outputs[i], averages[i])
        if i < middle:
            first.observe(i, outputs[i], averages[i])
    second.load_state_dict(saved_and_loaded(first.state_dict()))
    assert second.chosen_iteration == first.chosen_iteration and second.stop == first.stop
    for i in range(middle, 80):
        second.observe(i, outputs[i], averages[i])
    ours, theirs = second.state_dict(), straight.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(torch.as_tensor(ours[key]), torch.as_tensor(theirs[key])) for key in ours)
    assert torch.equal(second.kept_average, 0.9 * second.kept_output)


@pytest.mark.parametrize("middle", [0, 20])
def test_snapshot_put_back_into_a_running_rule(middle):
    outputs, wrong = valley(60, bottom=30), valley(60, bottom=5, seed=9)
    rule, straight = made(), made()
    snapshot = copy.deepcopy(rule.state_dict())
    for i in range(60):
        straight.observe(i, outputs[i])
        if i < middle:
            rule.observe(i, outputs[i])
            snapshot = copy.deepcopy(rule.state_dict())
    for i in range(middle, 40):
        rule.observe(i, wrong[i])
    rule.load_state_dict(snapshot)
    for i in range(middle, 60):
        rule.observe(i, outputs[i])
    assert rule.chosen_iteration == straight.chosen_iteration
    assert rule.statistic == straight.statistic
    assert torch.equal(rule.kept_output, straight.kept_output)


def test_first_confirmed_minimum_is_final_however_late_stop_is_asked():
    outputs = valley(50, bottom=20) + [torch.full(SHAPE, 0.5)] * 30  # the tail has variance 0
    rule = made()
    for i, output in enumerate(outputs[:50]):
        rule.observe(i, output)
    chosen = naive(outputs[:50], range(50), 5, 12, 0)[1]
    for i, output in enumerate(outputs[50:], 50):
        rule.observe(i, output)
        assert not rule.better
    assert rule.stop and rule.statistic == pytest.approx(0, abs=1e-15)
    assert rule.chosen_iteration == chosen < 30
    assert rule.reason == "windowed variance has not fallen for 12 iterations"


def test_min_start_skips_the_false_valley():
    outputs = valley(30, bottom=10, floor=0.001) + valley(90, bottom=50, floor=0.02, seed=1)
    free, floored = made(), made(min_start=30)
    for i, output in enumerate(outputs):
        free.observe(i, output)
        floored.observe(i, output)
    assert free.chosen_iteration < 30 < 65 < floored.chosen_iteration < 95


def test_answers_with_the_last_image_while_there_is_no_candidate():
    outputs = valley(20, bottom=5)
    rule = made(window=50)
    assert rule.chosen_iteration == -1 and not rule.stop and rule.statistic is None
    for i, output in enumerate(outputs):
        rule.observe(i, output)
    assert rule.chosen_iteration == 19 and not rule.stop
    assert torch.equal(rule.kept_output, outputs[-1])
    assert rule.statistic is None and rule.reason == "reached the iteration limit"
    assert rule.why_may_stop == "wmv from 0"


def test_a_broken_output_is_never_chosen_by_its_statistic():
    outputs = valley(40, bottom=10)
    outputs[25] = torch.full(SHAPE, float("nan"))
    rule = made(patience=12)
    for i, output in enumerate(outputs):
        rule.observe(i, output)
    assert rule.statistic is None and rule.chosen_iteration < 25
    assert rule.kept_output.isfinite().all()
    assert rule.stop


def test_memory_format_and_subset_do_not_change_the_choice():
    outputs = valley(70, bottom=30)
    plain, last, again, fewer = made(pixels=40), made(pixels=40), made(pixels=40), made(pixels=None)
    for i, output in enumerate(outputs):
        plain.observe(i, output)
        last.observe(i, output.contiguous(memory_format=torch.channels_last))
        again.observe(i, output)
        fewer.observe(i, output)
    assert plain.statistic == last.statistic == again.statistic
    assert plain.statistic == pytest.approx(fewer.statistic, rel=0.5) and plain.statistic != fewer.statistic
    assert torch.equal(plain.kept_output, last.kept_output)


def test_progress_text():
    rule = made(window=2, patience=12)
    for i, value in enumerate([0.0, 0.5, 0.6, 0.8]):
        rule.observe(i, torch.full(SHAPE, value))
    assert rule.why_may_stop == "wmv 1.0e-02, 1/12"


@pytest.mark.parametrize(
    ("key", "value"), [("window", 1), ("window", 2.5), ("patience", 0), ("min_start", -1), ("pixels", 0)]
)
def test_wrong_arguments_name_their_key(key, value):
    with pytest.raises(ValueError, match=rf"stopping\.{key}={value}: give a whole number of at least"):
        made(**{key: value})




def picture(path):
    pixels = np.array(Image.open(path).convert("RGB"), dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


@shared("paper/trajectory_f16", "denoise9")
def test_replay_of_the_published_f16_run():
    frames = sorted((DATA / "paper/trajectory_f16").glob("*.png"), key=lambda path: int(path.stem))
    assert len(frames) == 60
    rule = made(window=6, patience=500, min_start=300)
    mean = 0
    for path in frames:
        frame, iteration = picture(path), int(path.stem)
        rule.observe(iteration, frame[..., ::4, ::4])
        if 1000 <= iteration <= 2000:
            mean = mean + frame / 21
    assert rule.chosen_iteration == 1750  # the peak is 1550: a gap of about 0.2 dB
    assert rule.stop
    psnr = -10 * (mean - picture(DATA / "denoise9/F16.png")).square().mean().log10()
    assert float(psnr) == pytest.approx(32.50, abs=0.01)
