import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from dip_lab.baselines.tv import total_variation
from dip_lab.regularizers.tv import TotalVariation


def objective(problem, image, weight):
    return float(problem.misfit(image) + TotalVariation(weight / image.numel(), isotropic=True)(image))


@pytest.mark.parametrize("task, weight", [("denoise", 0.16), ("inpaint", 0.0123), ("super_resolution", 0.0123)])
def test_the_objective_falls(task, weight, face, problem_of):
    problem = problem_of(face(), f"task={task}")
    image = total_variation(problem, weight=weight, iterations=150, lr=0.01, noise=0, seed=0)
    assert objective(problem, image, weight) < 0.8 * objective(problem, problem.observed(), weight)


@pytest.mark.parametrize("weight", [0, 1e-6])
def test_without_a_weight_it_is_the_observation(weight, face, problem_of):
    problem = problem_of(face(), "task=denoise")
    image = total_variation(problem, weight=weight, iterations=100, lr=0.001, noise=0, seed=0)
    assert torch.allclose(image, problem.observation, atol=0.003)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("weight", [0.05, 0.16])
def test_it_is_the_picture_of_rudin_osher_and_fatemi(weight, channels, face, problem_of):
    """Chambolle minimises half the square + weight * TV: half our weight, whatever the size."""
    problem = problem_of(face(33, 47, channels), "task=denoise")
    image = total_variation(problem, weight=weight, iterations=1000, lr=0.001, noise=0, seed=0)
    noisy = problem.observation[0].permute(1, 2, 0).numpy()
    expected = denoise_tv_chambolle(noisy, weight / 2, eps=1e-7, max_num_iter=2000, channel_axis=-1)
    difference = np.abs(image[0].permute(1, 2, 0).numpy() - expected)[:-1, :-1]  # the borders' rules differ
    assert difference.mean() < 0.002


def test_inside_no_grad(face, problem_of):
    problem = problem_of(face(16, 16), "task=denoise")
    with torch.no_grad():
        image = total_variation(problem, weight=0.16, iterations=3, lr=0.01, noise=0, seed=0)
    assert torch.equal(image, total_variation(problem, weight=0.16, iterations=3, lr=0.01, noise=0, seed=0))
    assert not torch.equal(image, problem.observation)


def test_without_a_prior_what_the_operator_does_not_see_stays_noise(face, problem_of):
    problem = problem_of(face(), "task=inpaint")
    hole = (problem.operator.hole > 0).expand(problem.image_shape)

    def pixels(seed):
        return total_variation(problem, weight=0, iterations=300, lr=0.01, noise=0.1, seed=seed)

    image = pixels(0)
    assert torch.allclose(image[~hole], problem.observation[~hole], atol=0.02)
    assert image[hole].max() <= 0.1 and image[hole].std() == pytest.approx(0.1 / 12**0.5, rel=0.1)
    assert torch.equal(image, pixels(0)) and not torch.equal(image, pixels(1))
