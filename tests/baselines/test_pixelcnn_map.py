"""Maximum a posteriori with a PixelCNN that was trained for a few steps on pictures like the one to restore."""

import math

import pytest
import torch

from dip_lab.baselines.pixelcnn_map import log_probs
from dip_lab.data.images import Images
from dip_lab.nets.logistic_mixture import bits_per_dim
from dip_lab.randomness import generator_of
from dip_lab.training.checkpoint import Card, density_of, restorer_of, save

OPTIONS = {"width": 12, "layers": 1, "kernel_first": 5, "kernel": 3, "levels": 9}


def card(channels: int, objective: str = "likelihood") -> Card:
    return Card("pixelcnn", OPTIONS, channels, 0, False, False, "likelihood", {}, None, None, "synthetic",
                objective=objective)


def waves(count: int, channels: int, side: int, seed: int) -> torch.Tensor:
    """Smooth pictures of 8 bits, (count, channels, side, side)."""
    draws = torch.rand(count, channels, 3, 1, 1, generator=generator_of(seed, "waves"))
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    phase = 0.15 * (draws[:, :, 0] * rows + draws[:, :, 1] * columns) + 2 * math.pi * draws[:, :, 2]
    return ((0.5 + 0.4 * torch.sin(phase)) * 255).round() / 255


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A density of waves, its bits per value before and after, and its file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        density = density_of(card(1))
        optimizer = torch.optim.Adam(density.parameters(), 0.01)
        for step in range(150):
            optimizer.zero_grad()
            loss = bits_per_dim(density(waves(8, 1, 16, step)))
            loss.backward()
            optimizer.step()
    path = tmp_path_factory.mktemp("density") / "waves.pt"
    save(path, card(1), density)
    return density, float(loss.detach()), str(path)


def test_a_few_steps_save_bits(trained):
    density, bits, _ = trained
    assert bits < 6 and bits_per_dim(density(waves(1, 1, 24, 1000))) < 6 < 8
    assert bits_per_dim(density(torch.rand(1, 1, 24, 24))) > 8, "noise is no wave"


@pytest.mark.parametrize("channels", [1, 3])
def test_it_denoises(channels, trained, problem_of, baseline_of):
    problem = problem_of(Images("waves", waves(1, channels, 33, 1000)), "task=denoise", "task.sigma=25")
    baseline = baseline_of("pixelcnn_map", f"baseline.checkpoint={trained[2]}")
    image = baseline(problem)
    assert image.shape == problem.image_shape and image.dtype == torch.float32 and not image.requires_grad
    assert image.min() >= 0 and image.max() <= 1
    assert problem.scores(image)["psnr"] > problem.scores(problem.observed())["psnr"] + 2
    assert torch.equal(image, baseline(problem)), "another result the second time"
    problem.target = None
    assert torch.equal(image, baseline(problem)), "it looked at the target"


@pytest.mark.parametrize("task", ["inpaint", "super_resolution", "deblur"])
def test_the_posterior_rises_in_any_task(task, trained, problem_of, baseline_of):
    noise = ["task/noise=gaussian", "task.noise.sigma=15"]
    problem = problem_of(Images("waves", waves(1, 1, 32, 1000)), f"task={task}", *noise)
    image = baseline_of("pixelcnn_map", f"baseline.checkpoint={trained[2]}", "baseline.weight=1")(problem)
    assert image.shape == (1, 1, 32, 32)

    @torch.no_grad()
    def cost(x):
        where = problem.observation if problem.counted is None else problem.counted.expand_as(problem.observation)
        seen = where.numel() if problem.counted is None else float(where.sum())
        return float(problem.residual(problem.operator(x)) * seen / (2 * (15 / 255) ** 2) - trained[0](x).sum())

    assert cost(image) < cost(problem.observed().clamp(0, 1)) - 100


def test_without_a_weight_it_is_the_observation(trained, problem_of, baseline_of):
    problem = problem_of(Images("waves", waves(1, 1, 20, 1000)), "task=denoise", "task.sigma=25")
    image = baseline_of("pixelcnn_map", f"baseline.checkpoint={trained[2]}", "baseline.iterations=20",
                        "baseline.weight=0")(problem)
    torch.testing.assert_close(image, problem.observation.clamp(0, 1), atol=0.003, rtol=0)


@pytest.mark.parametrize("height, width", [(40, 37), (16, 50)])
def test_windows_change_neither_the_value_nor_the_slope(height, width, trained):
    density = trained[0].double()
    image = torch.rand(1, 2, height, width, dtype=torch.float64, requires_grad=True)
    values = [sum(log_probs(density, image, tile)) for tile in (1000, 16)]
    slopes = [torch.autograd.grad(value, image)[0] for value in values]
    density.float()
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*slopes)


def test_the_noise_is_that_of_its_law_else_estimated(trained, problem_of, baseline_of):
    problem = problem_of(Images("waves", waves(1, 1, 32, 1000)), "task=denoise", "task.sigma=25")
    baseline = baseline_of("pixelcnn_map", f"baseline.checkpoint={trained[2]}", "baseline.iterations=30")
    known = baseline(problem)
    problem.noise = None
    estimated = baseline(problem)
    assert not torch.equal(known, estimated)
    torch.testing.assert_close(known, estimated, atol=0.15, rtol=0)


@pytest.mark.parametrize("override, message", [
    ("baseline.weight=-1", r"^baseline\.weight=-1: give a number at least 0"),
    ("baseline.iterations=0", r"^baseline\.iterations=0: give a whole number of at least 1"),
    ("baseline.lr=0", r"^baseline\.lr=0: give a number above 0"),
    ("baseline.tile=8", r"^baseline\.tile=8: give a whole number of at least 16"),
    ("baseline.checkpoint=null", r"^baseline=pixelcnn_map needs a density: train one by .*objective=likelihood"),
    ("baseline.checkpoint=nowhere.pt", r"nowhere\.pt"),
])
def test_wrong_values(override, message, trained, problem_of, baseline_of):
    problem = problem_of(Images("waves", waves(1, 1, 16, 0)), "task=denoise")
    with pytest.raises(ValueError, match=message) as error:
        baseline_of("pixelcnn_map", f"baseline.checkpoint={trained[2]}", override)(problem)
    assert "\n" not in str(error.value)


def test_a_density_of_colour_is_none_of_grey(tmp_path, problem_of, baseline_of):
    save(tmp_path / "colour.pt", card(3), density_of(card(3)))
    problem = problem_of(Images("waves", waves(1, 1, 16, 0)), "task=denoise")
    with pytest.raises(ValueError, match=r"a density of pictures with 3 channels, but waves has 1: .*channels=1$"):
        baseline_of("pixelcnn_map", f"baseline.checkpoint={tmp_path / 'colour.pt'}")(problem)


def test_a_restorer_is_refused(tmp_path, problem_of, baseline_of):
    own = card(1, "restoration")
    save(tmp_path / "restorer.pt", own, restorer_of(own))
    problem = problem_of(Images("waves", waves(1, 1, 16, 0)), "task=denoise")
    with pytest.raises(ValueError, match="is a restorer .* and no density"):
        baseline_of("pixelcnn_map", f"baseline.checkpoint={tmp_path / 'restorer.pt'}")(problem)
