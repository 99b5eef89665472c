"""Rules that compare with the noise: discrepancy and SURE, and what they know about its level."""

import math
from types import SimpleNamespace

import pytest
import torch

from dip_lab.latents.image import ImageLatent
from dip_lab.latents.noise import Noise
from dip_lab.stopping.discrepancy import Discrepancy
from dip_lab.stopping.noise_level import law_of
from dip_lab.stopping.sure import Sure
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.kernels import Box
from dip_lab.tasks.masks import Bernoulli
from dip_lab.tasks.noise import Gaussian, Impulse, NoNoise, Poisson, Speckle, estimated_std
from dip_lab.tasks.super_resolution import Downsample


@pytest.mark.parametrize("law", [
    Gaussian(25, clip=True), Gaussian(50, clip=True), Gaussian(50, clip=False), Speckle(90, clip=True),
    Poisson(40, clip=True), Poisson(40, clip=False), Impulse(0.3, per_pixel=False), NoNoise(),
], ids=lambda law: f"{type(law).__name__}-{getattr(law, 'clip', '')}")
def test_expected_square_is_that_of_many_draws(law):
    for level in (0.0, 0.1, 0.5, 0.9, 1.0):
        clean = torch.full((1, 1, 400, 400), level)
        drawn = float((law(clean, 0) - clean).square().mean())
        expected = law.expected_square(clean)
        assert expected.shape == clean.shape
        assert float(expected.mean()) == pytest.approx(drawn, rel=0.06 if isinstance(law, Poisson) else 0.02, abs=1e-6)


def test_clipping_takes_the_published_share_of_the_variance():
    # Mean over nine photographs: 0.955 at sigma 25, 0.851 at sigma 50 (algorithms.md), which have fewer values near
    # black and white than a uniform distribution has.
    ramp = torch.linspace(0.1, 0.9, 1001).reshape(1, 1, 1, -1)
    shares = [float(Gaussian(s, clip=True).expected_square(ramp).mean()) / (s / 255) ** 2 for s in (25, 50)]
    assert shares == pytest.approx([0.955, 0.851], abs=0.02)


def test_estimated_std(problem):
    smooth = torch.linspace(0.2, 0.8, 128).expand(1, 3, 128, 128)
    for sigma in (10, 25):
        assert estimated_std(Gaussian(sigma, clip=True)(smooth, 0)) == pytest.approx(sigma / 255, rel=0.05)
    odd = Gaussian(25, clip=False)(torch.full((1, 1, 33, 47), 0.5), 1)
    assert estimated_std(odd) == pytest.approx(25 / 255, rel=0.15)


def test_estimated_std_leaves_holes_out(problem):
    noisy = Gaussian(25, clip=False)(torch.full((1, 3, 128, 128), 0.5), 0)
    known = (torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    assert estimated_std(noisy * known, known) == pytest.approx(25 / 255, rel=0.1)
    assert math.isnan(estimated_std(noisy, torch.zeros(1, 1, 1, 1)))
    masking = Masking(Bernoulli(path=None, polarity="white", missing=0.5, per_channel=False))
    masking.known = (torch.arange(12 * 14).reshape(1, 1, 12, 14) % 2).float()  # no two neighbours are known
    assert problem().noise_std() > 0 and problem(operator=masking).noise_std() is None
    assert problem(operator=Downsample(2, Box(border="renormalise"))).noise_std() > 0


def test_the_law_is_known_estimated_or_said(problem):
    known = problem()
    assert law_of(known, "auto", "r") is known.noise
    assert law_of(known, "estimate", "r").std == pytest.approx(estimated_std(known.observation))
    assert law_of(known, 30, "r").std == pytest.approx(30 / 255)
    known.noise = None  # a given observation
    assert law_of(known, "auto", "r").std == pytest.approx(estimated_std(known.observation))
    with pytest.raises(ValueError, match="has no noise"):
        law_of(problem(noise=NoNoise()), "auto", "r")
    with pytest.raises(ValueError, match=r"stopping\.sigma=often: give a number"):
        law_of(known, "often", "r")
    masking = Masking(Bernoulli(path=None, polarity="white", missing=0.5, per_channel=False))
    masking.known = torch.zeros(1, 1, 12, 14)
    with pytest.raises(ValueError, match="the noise cannot be estimated"):
        law_of(problem(operator=masking), "estimate", "r")


@pytest.mark.parametrize("with_average", [True, False])
@pytest.mark.parametrize("tau", [0.8, 1.0])
def test_discrepancy_is_the_first_image_within_the_noise(problem, trajectory, tau, with_average):
    problem = problem()
    rule = Discrepancy(tau=tau, sigma="auto", every=1, min_start=3)
    rule.setup(problem, seed=0)
    outputs = trajectory(problem, seed=1)
    first = None
    for iteration, output in enumerate(outputs, 1):
        average = 0.5 * (output + outputs[max(0, iteration - 2)]) if with_average else None
        rule.observe(iteration, output, average)
        image = (output if average is None else average).double()
        noise = problem.noise.expected_square(image.clamp(0, 1)).sum()
        ratio = float((image - problem.observation).square().sum() / (tau * noise))
        if iteration >= 3:
            assert rule.statistic == pytest.approx(ratio, rel=1e-4)
            first = first or (iteration if ratio <= 1 else None)
    assert first is not None and rule.chosen_iteration == first and rule.stop
    assert rule.stopped_iteration == first + 1
    assert torch.equal(rule.kept_output, outputs[first - 1])
    assert rule.reason == f"the residual is down to {tau:g} times the noise"


def test_discrepancy_answers_with_the_last_image_until_then(problem, trajectory):
    rule = Discrepancy(tau=1e-6, sigma="auto", every=1, min_start=0)
    problem = problem()
    rule.setup(problem, seed=0)
    outputs = trajectory(problem)
    for iteration, output in enumerate(outputs, 1):
        rule.observe(iteration, output)
    assert rule.chosen_iteration == len(outputs) and rule.stopped_iteration is None


def test_discrepancy_counts_what_is_known(problem):
    masking = Masking(Bernoulli(path=None, polarity="white", missing=0.5, per_channel=False))
    masking.known = (torch.arange(12 * 14).reshape(1, 1, 12, 14) % 2).float()
    holes = problem(operator=masking)
    rule = Discrepancy(tau=1.0, sigma="auto", every=1, min_start=0)
    rule.setup(holes, seed=0)
    image = torch.rand(holes.image_shape)
    rule.observe(1, image)
    first = rule.statistic
    rule.observe(2, image + 0.3 * masking.hole)
    assert rule.statistic == first


def test_discrepancy_resumes(problem, trajectory):
    problem = problem()
    outputs = trajectory(problem, seed=1)
    rules = [Discrepancy(tau=1.0, sigma="auto", every=3, min_start=0) for _ in range(3)]
    for rule in rules:
        rule.setup(problem, seed=0)
    straight, first, second = rules
    for iteration, output in enumerate(outputs, 1):
        straight.observe(iteration, output)
        if iteration <= 40:
            first.observe(iteration, output)
    second.load_state_dict(first.state_dict())
    for iteration, output in enumerate(outputs[40:], 41):
        second.observe(iteration, output)
    assert second.chosen_iteration == straight.chosen_iteration > 0
    assert torch.equal(second.kept_output, straight.kept_output) and second.stop == straight.stop


class Shrink:
    """f(y) = a y + (1 - a) m, whose divergence is a N."""

    def __init__(self, problem):
        self.latent = ImageLatent(path=None, noise_depth=0, scale=1, jitter=0)
        self.y, self.a = problem.observation, 1.0

    def image(self, y):
        return self.a * y + (1 - self.a) * self.y.mean()

    def probed(self, change):
        return self.image(self.y), self.image(self.y + change)


@pytest.mark.parametrize("noise", [Gaussian(50, clip=False), Poisson(30, clip=False)], ids=["gaussian", "poisson"])
def test_sure_is_the_risk(noise, problem):
    problem = problem(noise=noise)
    large = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(2)) * 0.6 + 0.2
    problem.target, problem.observation = large, noise(large, 3)
    shrink = Shrink(problem)
    risks, truths = [], []
    for a in (1.0, 0.7, 0.4, 0.1):
        shrink.a = a
        rule = Sure(step=0.01, sigma="auto", smoothing=0.0, every=1, patience=5, min_start=0)
        rule.setup(problem, seed=0, generator=shrink)
        rule.observe(1, problem.observation)
        risks.append(rule.statistic)
        truths.append(float((shrink.image(problem.observation) - large).square().mean()))
    assert risks == pytest.approx(truths, abs=0.06 * truths[0])
    assert risks.index(min(risks)) == truths.index(min(truths))


def test_sure_formula_in_float64(problem):
    problem = problem(noise=Gaussian(50, clip=True))
    shrink = Shrink(problem)
    shrink.a = 0.3
    rule = Sure(step=0.01, sigma="auto", smoothing=0.0, every=1, patience=5, min_start=0)
    rule.setup(problem, seed=0, generator=shrink)
    rule.observe(7, problem.observation)
    from dip_lab.randomness import generator_of

    y = problem.observation.double()
    probe = torch.empty(y.shape).normal_(generator=generator_of(0, "sure", 7)).double()
    variance = (50 / 255) ** 2
    image = 0.3 * y + 0.7 * y.mean()
    expected = (image - y).square().mean() - variance + 2 * variance * (probe * 0.3 * probe).mean()
    assert rule.statistic == pytest.approx(float(expected), rel=1e-3)


def test_sure_ends_below_zero(problem):
    problem = problem()
    shrink = Shrink(problem)
    shrink.probed = lambda change: (problem.observation + shrink.left, problem.observation + shrink.left)  # memorised
    rule = Sure(step=0.01, sigma="auto", smoothing=0.0, every=1, patience=3, min_start=0)
    rule.setup(problem, seed=0, generator=shrink)
    for iteration, left in enumerate([0.5, 0.4, 0.3, 0.1, 0.05, 0.02, 0.0, 0.0], 1):
        shrink.left = left
        rule.observe(iteration, torch.full(problem.image_shape, left))
    assert rule.chosen_iteration == 3 and rule.stop and math.isclose(float(rule.kept_output.mean()), 0.3, rel_tol=1e-5)


def test_what_sure_refuses(problem):
    def rule():
        return Sure(step=0.01, sigma="auto", smoothing=0.0, every=1, patience=5, min_start=0)

    observation = problem()
    with pytest.raises(ValueError, match="add latent=image"):
        rule().setup(observation, seed=0, generator=None)
    with pytest.raises(ValueError, match="add latent=image"):
        rule().setup(observation, seed=0, generator=SimpleNamespace(latent=Noise("uniform", 0.1, 4, 0.1)))
    impulse = problem(noise=Impulse(0.3, per_pixel=False))
    with pytest.raises(ValueError, match="Gaussian and Poisson noise only"):
        rule().setup(impulse, seed=0, generator=Shrink(impulse))
    masking = Masking(Bernoulli(path=None, polarity="white", missing=0.5, per_channel=False))
    holes = problem(operator=masking)
    with pytest.raises(ValueError, match="denoising only"):
        rule().setup(holes, seed=0, generator=Shrink(holes))
