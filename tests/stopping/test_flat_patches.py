"""The rule for noise that neighbouring pixels share, and the choice between it and holdout."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from shared import DATA, shared

from dip_lab.compose import compose
from dip_lab.data.images import Images, read_picture
from dip_lab.instantiate import instantiate
from dip_lab.problem import Problem
from dip_lab.stopping.flat_patches import ELBOW, TRUST, WEAK, FlatPatches
from dip_lab.stopping.holdout import Holdout
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.evaluation import FullFrame
from dip_lab.tasks.misfits import MeanSquared
from dip_lab.tasks.noise import Gaussian
from dip_lab.tasks.noise_estimate import flat_patches
from dip_lab.tasks.views import View

SIDE, EVERY = 96, 2


def texture(side=SIDE):
    """A slope with fine texture in its upper half."""
    y, x = np.mgrid[:side, :side]
    grey = 0.4 + 0.2 * x / side + 0.1 * np.sin(1.1 * x) * np.sin(0.7 * y) * (y < side / 2)
    return torch.from_numpy(grey).float().expand(1, 3, side, side).clone()


def blurred(sigma, side=SIDE):
    noise = gaussian_filter(np.random.default_rng(3).standard_normal((1, 3, side, side)), (0, 0, 1, 1), mode="wrap")
    return torch.from_numpy(noise / noise.std() * sigma / 255).float()


def problem_of(noise, law=None):
    clean = texture(noise.shape[-1])
    return Problem(clean + noise, Identity(), MeanSquared("all"), FullFrame(), View(), clean, "a", "p", law)


def outputs_of(problem, noise, count=200):
    """Texture is fitted first, the noise on flat places last, the noise under the texture in between."""
    smooth = texture()[:, :, -1:].expand_as(problem.target)
    for i in range(1, count + 1):
        signal, flat, fine = 1 - np.exp(-i / 12), 1 - np.exp(-i / 400), 1 - np.exp(-i / 200)
        image = smooth + signal * (problem.target - smooth)
        image[:, :, : SIDE // 2] += fine * noise[:, :, : SIDE // 2]
        image[:, :, SIDE // 2:] += flat * noise[:, :, SIDE // 2:]
        yield i, image


def rule_for(problem, **changes):
    rule = FlatPatches(**{"share": 0.15, "weight": 1.75, "every": EVERY, "patience": 20, "min_start": 10, **changes})
    rule.setup(problem, 0)
    return rule


def watched(rule, outputs):
    for iteration, image in outputs:
        rule.observe(iteration, image)
        if rule.stop:
            break
    return rule


def plain(problem, outputs, weight=1.75, patience=20, start=10):
    """The rule by its definition, in float64, from all that was seen."""
    places, noise = flat_patches(problem.observation, None, 0.15)
    places, noise = places.flatten(), noise.double().flatten()
    seen = [(i, float((image.double() - problem.observation).square().mean()),
             max(0.0, float(image.double().flatten()[places] @ noise / noise.square().sum())))
            for i, image in outputs if i >= start and i % EVERY == 0]
    best, elbow, answer = (np.inf, None), 0, None
    for i, residual, fitted in seen:
        if i * residual < best[0] and i - elbow <= patience or best[1] is None:
            best, elbow = (i * residual, residual), i
        estimated = problem.noise_estimate.std ** 2
        level = best[1] * np.clip(estimated / best[1], 0.1, 10) ** TRUST

        def criterion(point, level=level):
            iteration, residual, fitted = point
            return (residual + 2 * weight * level * fitted) * (iteration * residual) ** ELBOW

        if answer is None or criterion((i, residual, fitted)) < criterion(answer):
            answer = (i, residual, fitted)
        if i - answer[0] >= patience:
            return answer[0]
    return None


@pytest.mark.parametrize("sigma", [8, 20, 40])
def test_equals_the_definition(sigma):
    noise = blurred(sigma)
    problem = problem_of(noise)
    rule = watched(rule_for(problem), outputs_of(problem, noise))
    assert rule.stop and rule.chosen_iteration == plain(problem, outputs_of(problem, noise))
    assert rule.statistic > 0 and "flat patches" in rule.reason


def test_it_answers_before_the_noise_is_fitted():
    noise = blurred(20)
    problem = problem_of(noise)
    errors = {i: float((image - problem.target).square().mean()) for i, image in outputs_of(problem, noise)}
    rule = watched(rule_for(problem), outputs_of(problem, noise))
    assert errors[rule.chosen_iteration] < 0.25 * min(errors[1], errors[200])
    assert torch.equal(rule.kept, dict(outputs_of(problem, noise))[rule.chosen_iteration])


def test_without_noise_on_flat_patches_the_elbow_decides():
    noise = blurred(20)
    noise[:, :, SIDE // 2:] *= WEAK / 10
    problem = problem_of(noise)
    problem.noise_estimate = replace(problem.noise_estimate, std=1e-4)
    rule = watched(rule_for(problem), outputs_of(problem, noise))
    products = {i: i * float((image - problem.observation).square().mean())
                for i, image in outputs_of(problem, noise) if i >= 10 and i % EVERY == 0}
    elbow = min(products, key=products.get)
    assert rule.stop and elbow <= rule.chosen_iteration <= elbow + rule.patience + EVERY


def test_resumed_state_is_bit_exact():
    noise = blurred(20)
    problem = problem_of(noise)
    whole, first, second = rule_for(problem), rule_for(problem), rule_for(problem)
    for i, image in outputs_of(problem, noise, 60):
        whole.observe(i, image)
        (first if i <= 31 else second).observe(i, image)
        if i == 31:
            second.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(map(torch.as_tensor, whole.state_dict().values()),
                                                 map(torch.as_tensor, second.state_dict().values()), strict=True))


@pytest.mark.parametrize(("change", "message"), [
    ({"share": 0}, "stopping.share=0"), ({"weight": 0}, "stopping.weight=0"), ({"every": 0}, "stopping.every=0"),
    ({"patience": 0}, "stopping.patience=0"), ({"min_start": -1}, "stopping.min_start=-1"),
])
def test_wrong_arguments_name_their_key(change, message):
    with pytest.raises(ValueError, match=message):
        rule_for(problem_of(blurred(20)), **change)


def test_a_picture_without_patches_is_refused():
    with pytest.raises(ValueError, match="no patches of 16 x 16 px: try stopping=wmv"):
        rule_for(problem_of(blurred(20, 12)))


@pytest.mark.parametrize(("noise", "law", "kind"), [
    (blurred(20), None, FlatPatches), (blurred(20), Gaussian(20, clip=True), Holdout),
    (0.08 * torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)), None, Holdout),
    (blurred(20, 12), None, Holdout),
], ids=["a camera's", "added", "white", "small"])
def test_auto_goes_by_the_noise(noise, law, kind):
    assert type(instantiate(compose([]).stopping).for_problem(problem_of(noise, law))) is kind


def test_auto_leaves_other_tasks_to_holdout(fit_tiny):
    picture = Images("photo", problem_of(blurred(20, 32)).observation.clamp(0, 1))
    options = ["task/noise=none", "stopping=auto", "iterations=12", "latent.jitter=0.03"]
    rules = [fit_tiny(*options, *more, picture=picture).summary["psnr_held_out"]
             for more in ([], ["task=inpaint", "task.given=true", "task/mask=bernoulli"])]
    assert rules[0] is None and rules[1] is not None


def test_where_noise_was_added_auto_is_holdout_bit_for_bit(fit_tiny):
    auto, holdout = (fit_tiny(f"stopping={name}", "iterations=40") for name in ("auto", "holdout"))
    assert torch.equal(auto.image, holdout.image)
    keys = ("chosen_iteration", "psnr_held_out", "stop_reason", "psnr_peak")
    assert [auto.summary[key] for key in keys] == [holdout.summary[key] for key in keys]


@shared("real/cc15")
def test_a_camera_is_recognised():
    pixels = read_picture(DATA / "real/cc15/d800_iso6400_1_real.png").pixels[..., 160:352, 160:352]
    problem = Problem(pixels, Identity(), MeanSquared("all"), FullFrame(), View(), None, "a", "p")
    assert type(instantiate(compose([]).stopping).for_problem(problem)) is FlatPatches
