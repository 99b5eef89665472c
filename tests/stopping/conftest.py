import pytest
import torch

from dip_lab.problem import Problem
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.evaluation import FullFrame
from dip_lab.tasks.misfits import MeanSquared
from dip_lab.tasks.noise import Gaussian
from dip_lab.tasks.views import View

SHAPE = (1, 3, 12, 14)


@pytest.fixture
def problem():
    """Denoising of a small picture at sigma 50: `problem(noise=..., operator=...)`."""

    def make(noise=None, operator=None):
        target = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5))
        law = noise or Gaussian(50, clip=True)
        operator = operator or Identity()
        observation = law(operator(target), 0)
        return Problem(observation, operator, MeanSquared("all"), FullFrame(), View(), target, "a", "p", law)

    return make


@pytest.fixture
def trajectory():
    """Outputs that first come nearer to the target and then to the observation, with some noise, as in a fit."""

    def make(problem, length=120, turn=60, seed=0):
        generator = torch.Generator().manual_seed(seed)
        outputs, start = [], torch.full(problem.image_shape, 0.5)
        for i in range(length):
            ahead = min(i / turn, 1.0)
            fitted = max(0.0, (i - turn) / (length - turn))
            image = start + ahead * (problem.target - start) + fitted * (problem.observation - problem.target)
            restless = 0.02 + 0.1 * abs(i - turn) / length
            outputs.append(image + restless * torch.randn(image.shape, generator=generator))
        return outputs

    return make
