import pytest
import torch

from dip_lab.compose import compose
from dip_lab.instantiate import instantiate
from dip_lab.problem import Problem
from dip_lab.regularizers.its import ITS
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.evaluation import FullFrame
from dip_lab.tasks.misfits import MeanSquared
from dip_lab.tasks.views import View


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape or (1, 3, 6, 7), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def problem():
    return Problem(random(0), Identity(), MeanSquared("all"), FullFrame(), View(), random(1), "a", "p")


def test_the_descent_is_that_of_half_the_observation_and_half_the_earlier_output(problem):
    its = ITS(1.0, 5)
    its.setup(problem, 0)
    earlier, image = random(2), random(3).requires_grad_()
    assert its(image) == 0
    its.after_step(random(4), 4)
    assert its(image) == 0  # not an iteration that counts
    its.after_step(earlier, 5)
    (problem.misfit(image) + its(image)).backward()
    ours, image.grad = image.grad, None
    (image - (problem.observation + earlier) / 2).square().mean().backward()
    torch.testing.assert_close(ours, 2 * image.grad)


def test_values_that_are_held_out_count_in_neither_half(problem):
    held = torch.zeros_like(problem.observation, dtype=torch.bool)
    held[..., 0] = True
    problem.hold_out(held)
    its = ITS(0.5, 1)
    its.setup(problem, 0)
    its.after_step(random(2), 1)
    image = random(3).requires_grad_()
    its(image).backward()
    assert not image.grad[..., 0].any() and image.grad[..., 1:].all()


def test_a_checkpoint_continues_it(problem):
    straight, resumed = ITS(1.0, 2), ITS(1.0, 2)
    for its in (straight, resumed):
        its.setup(problem, 0)
    straight.after_step(random(2), 2)
    resumed.load_state_dict(straight.state_dict())
    assert resumed(random(5)) == straight(random(5)) > 0


@pytest.mark.parametrize("weight, every, said", [(-1, 5, "weight=-1"), (1, 0, "every=0"), (1, 1.5, "every=1.5")])
def test_wrong_values(weight, every, said):
    with pytest.raises(ValueError, match=said):
        ITS(weight, every)


def test_yaml():
    assert isinstance(instantiate(compose(["regularizer=its"]).regularizer.its), ITS)
