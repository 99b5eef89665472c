"""The rules that answer with the minimum of a statistic, each against its definition in float64 over all outputs."""

import copy

import pytest
import torch

from dip_lab.compose import compose
from dip_lab.stopping.emv import EMV
from dip_lab.stopping.hanke_raus import HankeRaus
from dip_lab.stopping.holdout import Holdout
from dip_lab.stopping.plateau import Plateau
from dip_lab.stopping.self_validation import SelfValidation
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.kernels import Box
from dip_lab.tasks.masks import Bernoulli
from dip_lab.tasks.noise import Gaussian, NoNoise
from dip_lab.tasks.super_resolution import Downsample

PATIENCE = 15


def emv_statistics(outputs, averages, problem, rule):
    values = []
    for n in range(len(outputs)):  # from the first output on, each time
        mean, variance = outputs[0].double(), 0.0
        for output in outputs[: n + 1]:
            change = output.double() - mean
            mean = mean + 0.1 * change
            variance = 0.9 * (variance + 0.1 * float(change.square().mean()))
        values.append(variance if n else None)
    return values


def plateau_statistics(outputs, averages, problem, rule):
    values = []
    for n in range(len(outputs)):
        misfits = [float((output.double() - problem.observation).square().mean()) for output in outputs[: n + 1]]
        smooth = misfits[0]
        for misfit in misfits[1:]:
            smooth = 0.5 * smooth + 0.5 * misfit
        values.append(smooth)
    return values


def holdout_statistics(outputs, averages, problem, rule):
    held = rule.held
    return [float((average.double() - problem.observation)[held].square().mean()) for average in averages]


def hanke_raus_statistics(outputs, averages, problem, rule):
    return [iteration * float((average.double() - problem.observation).square().mean())
            for iteration, average in enumerate(averages, 1)]


def naive(values, iterations, rule):
    best, lowest, chosen, stopped = float("inf"), 0, None, None
    later = getattr(rule, "later", 0)
    for iteration, value in zip(iterations, values, strict=True):
        if stopped is not None:
            break
        if value is None or iteration < rule.min_start:
            chosen = lowest = iteration
        elif value < best * (1 - rule.least):
            best, chosen, lowest = value, iteration, iteration
        elif iteration <= lowest * (1 + later):
            chosen = iteration
        elif iteration - chosen >= rule.patience:
            stopped = iteration
    return chosen, stopped


def holdout(share=0.2, every=1, patience=PATIENCE, start=0, later=0.0, least=0.0):
    return Holdout(share, every, patience, later, least, start)


RULES = {
    "emv": (lambda start: EMV(forget=0.1, patience=PATIENCE, min_start=start), emv_statistics),
    "plateau": (lambda start: Plateau(least=0.01, smoothing=0.5, patience=PATIENCE, min_start=start),
                plateau_statistics),
    "hanke_raus": (lambda start: HankeRaus(every=1, patience=PATIENCE, min_start=start), hanke_raus_statistics),
    "holdout": (lambda start: holdout(start=start), holdout_statistics),
    "later": (lambda start: holdout(start=start, later=0.2), holdout_statistics),
    "least": (lambda start: holdout(start=start, later=0.1, least=0.03), holdout_statistics),
}


def watched(rule, outputs, averages, first=1):
    for iteration, (output, average) in enumerate(zip(outputs, averages, strict=True), first):
        rule.observe(iteration, output, average)


def averages_of(outputs, decay=0.8):
    averages = [outputs[0]]
    for output in outputs[1:]:
        averages.append(decay * averages[-1] + (1 - decay) * output)
    return averages


def begin(rule, problem, seed):
    rule.hold_out(problem, seed)
    rule.setup(problem, seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("start", [0, 25])
@pytest.mark.parametrize("name", RULES)
def test_equals_the_definition(name, start, seed, problem, trajectory):
    make, definition = RULES[name]
    problem, rule = problem(noise=NoNoise() if name == "least" else None), make(start)
    begin(rule, problem, seed=3)
    outputs = trajectory(problem, seed=seed)
    averages = averages_of(outputs)
    values = definition(outputs, averages, problem, rule)
    for iteration, (output, average, value) in enumerate(zip(outputs, averages, values, strict=True), 1):
        rule.observe(iteration, output, average)
        if value is not None:
            assert rule.statistic == pytest.approx(value, rel=1e-5)
    chosen, stopped = naive(values, range(1, len(outputs) + 1), rule)
    assert (rule.chosen_iteration, rule.stopped_iteration) == (chosen, stopped)
    assert torch.equal(rule.kept_average, averages[chosen - 1])


@pytest.mark.parametrize("name", [*RULES, "self_validation"])
def test_resumed_state_is_bit_exact(name, problem, trajectory):
    outputs = trajectory(problem())
    averages = averages_of(outputs)
    straight, first, second = (made(name) for _ in range(3))
    for rule in (straight, first, second):
        begin(rule, problem(), seed=3)
    watched(straight, outputs, averages)
    watched(first, outputs[:50], averages[:50])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    watched(second, outputs[50:], averages[50:], first=51)
    assert_equal(second.state_dict(), straight.state_dict())


def made(name):
    if name != "self_validation":
        return RULES[name][0](0)
    return SelfValidation(size=4, code=4, memory=20, batch=8, lr=0.01, smoothing=0.5, every=2, patience=PATIENCE,
                          min_start=0)


def assert_equal(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b)) if a is not None else b is None


def test_holdout_finds_the_peak_of_the_average_and_leaves_the_values_out(problem, trajectory):
    problem, rule = problem(), holdout(patience=40)
    begin(rule, problem, seed=1)
    assert 0.1 < rule.held.float().mean() < 0.3
    image = problem.target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.misfit(image), image)
    assert not (gradient * rule.held).any() and (gradient * ~rule.held).any()
    # Late in the fit, the noise of the other values is fitted; the held-out values get noise of another kind.
    noise = torch.randn(problem.image_shape, generator=torch.Generator().manual_seed(8)) * 0.2
    seen = problem.observation
    problem.observation = torch.where(rule.held, problem.target + noise, seen)
    outputs = trajectory(problem)
    problem.observation = seen
    averages = averages_of(outputs)
    watched(rule, outputs, averages)
    best = min(range(len(outputs)), key=lambda i: float((averages[i] - problem.target).square().mean()))
    assert abs(rule.chosen_iteration - (best + 1)) <= 12 and rule.stop


@pytest.mark.parametrize(("noise", "least"), [(Gaussian(25, clip=True), 0), (NoNoise(), 0.05), (None, 0.05)])
def test_with_noise_any_decrease_counts(problem, noise, least):
    rule, problem = holdout(least=0.05), problem()
    problem.noise = noise  # None: a given observation
    begin(rule, problem, seed=3)
    assert rule.least == least


def test_what_is_held_out_is_not_in_the_input_either(problem):
    problem, rule = problem(), holdout()
    before = problem.guide()
    rule.hold_out(problem, seed=1)
    after, held = problem.guide(), rule.held
    assert torch.equal(after[~held], before[~held]) and torch.equal(problem.observed(), before)
    problem.observation = problem.observation + held * 0.3  # whatever these values are, the input stays
    assert torch.equal(problem.guide(), after) and torch.equal(problem.part(slice(0, 1)).guide(), after)
    one = held.nonzero()[7].tolist()
    rows, columns = (slice(max(0, place - 1), place + 2) for place in one[2:])
    near = before[0, one[1], rows, columns][~held[0, one[1], rows, columns]]
    assert float(after[tuple(one)]) == pytest.approx(float(near.mean()), rel=1e-4)


def test_holdout_takes_from_what_is_known(problem):
    masking = Masking(Bernoulli(path=None, polarity="white", missing=0.5, per_channel=False))
    masking.known = (torch.arange(12 * 14).reshape(1, 1, 12, 14) % 2).float()
    inpainting = problem(operator=masking)
    rule = holdout(share=0.5, patience=9)
    begin(rule, inpainting, seed=1)
    assert rule.held.any() and not (rule.held & (masking.known == 0)).any()


def test_holdout_of_super_resolution_is_in_the_small_picture(problem):
    enlarged = problem(operator=Downsample(2, Box(border="renormalise")))
    rule = holdout(share=0.5, patience=9)
    begin(rule, enlarged, seed=1)
    assert rule.held.shape == (1, 3, 6, 7)
    rule.observe(1, enlarged.target, None)
    error = (enlarged.operator(enlarged.target) - enlarged.observation)[rule.held].square().mean()
    assert rule.statistic == pytest.approx(float(error), rel=1e-5)


def test_a_rule_looks_every_so_often(problem, trajectory):
    problem = problem()
    rule = holdout(every=5, patience=40)
    begin(rule, problem, seed=1)
    outputs = trajectory(problem)
    looks = []
    for iteration, output in enumerate(outputs, 1):
        rule.observe(iteration, output, None)
        looks.append(rule.statistic)
    assert looks[3] is None and len(set(looks[4:])) == 24 and rule.chosen_iteration % 5 == 0


def test_self_validation_finds_where_outputs_are_alike(problem, trajectory):
    problem, rule = problem(), SelfValidation(size=6, code=8, memory=40, batch=16, lr=0.003, smoothing=0.5, every=1,
                                              patience=60, min_start=0)
    begin(rule, problem, seed=3)
    outputs = trajectory(problem, length=300, turn=150)
    watched(rule, outputs, outputs)
    assert 110 < rule.chosen_iteration < 200


@pytest.mark.parametrize(("make", "message"), [
    (lambda: EMV(forget=1, patience=5, min_start=0), r"stopping\.forget=1: give a number above 0 and below 1"),
    (lambda: EMV(forget=0.1, patience=0, min_start=0), r"stopping\.patience=0"),
    (lambda: Plateau(least=-1, smoothing=0.5, patience=5, min_start=0), r"stopping\.least=-1"),
    (lambda: Plateau(least=0, smoothing=1, patience=5, min_start=0), r"stopping\.smoothing=1"),
    (lambda: holdout(share=0), r"stopping\.share=0: give a number above 0"),
    (lambda: holdout(every=0), r"stopping\.every=0"),
    (lambda: holdout(start=-1), r"stopping\.min_start=-1"),
    (lambda: holdout(later=-1), r"stopping\.later=-1"),
    (lambda: holdout(least=1), r"stopping\.least=1: give a number at least 0 and below 1"),
    (lambda: SelfValidation(1, 4, 5, 5, 0.1, 0.5, 1, 5, 0), r"stopping\.size=1"),
    (lambda: SelfValidation(4, 4, 5, 5, 0, 0.5, 1, 5, 0), r"stopping\.lr=0"),
])
def test_wrong_arguments_name_their_key(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_holdout_of_nothing_is_refused(problem):
    with pytest.raises(ValueError, match=r"stopping\.share=1e-09: no value is held out"):
        holdout(share=1e-9).hold_out(problem(), seed=0)


def test_inpainting_does_not_wait_for_falls_that_nobody_sees():
    inpaint, denoise = (compose([f"task={task}"]).stopping.independent.least for task in ("inpaint", "denoise"))
    assert inpaint > 0 == denoise
