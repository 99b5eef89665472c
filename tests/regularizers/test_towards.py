"""The pull towards the answer of a baseline."""

import pytest
import torch

from dip_lab.baselines.answers import answer_of
from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.instantiate import instantiate
from dip_lab.regularizers.towards import Towards

pytestmark = pytest.mark.usefixtures("one_thread")


def grey(problem):
    return torch.full(tuple(problem.image_shape), 0.5)


def problem_of(*overrides, frames=1):
    pixels = torch.rand(frames, 3, 16, 18, generator=torch.Generator().manual_seed(0))
    return build_problem(compose(overrides).task, Images("noise", pixels, clean=True, selection=slice(0, None, 1)), 0)


def towards(problem, weight=2.0, until=None, baseline=grey):
    term = Towards(baseline, weight, until)
    term.setup(problem, seed=0)
    return term


def test_it_is_the_mean_square_in_the_holes():
    problem = problem_of("task=inpaint", "task/mask=box")
    image = torch.rand(1, 3, 16, 18, generator=torch.Generator().manual_seed(1)).requires_grad_()
    term = towards(problem)(image)
    hole = problem.operator.hole.expand(1, 3, 16, 18) > 0
    assert term.item() == pytest.approx(2 * (image[hole] - 0.5).square().mean().item(), rel=1e-5)
    term.backward()
    assert image.grad[hole].all() and not image.grad[~hole].any()


def test_everywhere_where_there_are_no_holes():
    image = torch.rand(1, 3, 16, 18, generator=torch.Generator().manual_seed(1))
    term = towards(problem_of("task=denoise"))(image)
    assert term.item() == pytest.approx(2 * (image - 0.5).square().mean().item(), rel=1e-5)


def test_each_frame_has_its_own_answer():
    problem = problem_of("task=inpaint", frames=4)
    term = towards(problem, baseline=lambda part: part.observation)
    image = torch.rand(2, 3, 16, 18)
    hole = problem.operator.hole.expand(2, 3, 16, 18) > 0
    expected = (image - problem.observation[1:3])[hole].square().mean()
    assert term(image, slice(1, 3)).item() == pytest.approx(2 * expected.item(), rel=1e-5)


def test_the_pull_ends():
    term, image = towards(problem_of("task=inpaint"), until=4), torch.zeros(1, 3, 16, 18)
    pulls = []
    for iteration in range(1, 7):
        pulls.append(float(term(image)))
        term.after_step(image, iteration)
    assert pulls == pytest.approx([0.5, 0.375, 0.25, 0.125, 0, 0])
    assert term(image) == 0.0


def test_a_checkpoint_continues_the_fade():
    problem, image = problem_of("task=inpaint"), torch.zeros(1, 3, 16, 18)
    straight, resumed = towards(problem, until=4), towards(problem, until=4)
    straight.after_step(image, 3)
    resumed.load_state_dict(straight.state_dict())
    assert resumed(image) == straight(image) > 0


def test_the_target_is_not_seen():
    def baseline(problem):
        assert problem.target is None
        return problem.observation

    assert towards(problem_of("task=inpaint"), baseline=baseline).answer.shape == (1, 3, 16, 18)


def test_the_fit_goes_there(fit_tiny):
    far, near = (fit_tiny("task=inpaint", "task/mask=box", "stopping=fixed", *more).summary["psnr_hole"]
                 for more in ((), ("regularizer=towards", "regularizer.towards.weight=1")))
    assert near > far


@pytest.mark.parametrize("weight, until, said", [(-1, None, "weight=-1"), (1, 0, "until=0"), (1, 1.5, "until=1.5")])
def test_wrong_values(weight, until, said):
    with pytest.raises(ValueError, match=rf"^regularizer\.towards\.{said}: give a"):
        Towards(grey, weight, until)


def test_yaml():
    cfg = compose(["regularizer=[tv,towards]", "baseline@regularizer.towards.baseline=voronoi"])
    assert isinstance(instantiate(cfg.regularizer.towards), Towards)


def test_the_baseline_does_not_see_what_is_held_out():
    problem = build_problem(compose(["task.sigma=25"]).task, Images("random", torch.rand(1, 3, 12, 14), clean=True), 0)
    held = torch.rand(problem.observation.shape) < 0.2
    problem.hold_out(held)
    answer, _ = answer_of(lambda part: part.observation, problem, "key")
    assert torch.equal(answer[~held], problem.observation[~held]) and torch.equal(answer, problem.guide())
    assert (answer[held] != problem.observation[held]).all() and not torch.equal(answer, problem.observation)
