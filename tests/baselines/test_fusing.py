import numpy as np
import pytest
import torch

from dip_lab.baselines.fusing import expanded, reduced
from dip_lab.data.images import Images
from dip_lab.tasks.fusion_metrics import edges_kept


@pytest.fixture
def pair(face):
    """`pair(channels)`: two pictures of one face; the left half of one and the right half of the other are blurred."""

    def make(channels=3, height=33, width=47):
        sharp = face(height, width, channels).pixels
        blurred = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2, count_include_pad=False)
        left = torch.arange(width) < width // 2
        return Images("face", torch.cat([torch.where(left, blurred, sharp), torch.where(left, sharp, blurred)])), sharp

    return make


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["mean", "maximum", "laplacian"])
def test_shape_and_range(name, channels, pair, problem_of, baseline_of):
    problem = problem_of(pair(channels)[0], "task=fusion")
    before = problem.observation.clone()
    image = baseline_of(name)(problem)
    assert image.shape == problem.image_shape == (1, 1, 33, 47) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1 and not image.requires_grad
    assert torch.equal(image, baseline_of(name)(problem)) and torch.equal(problem.observation, before)
    assert problem.shown(image).shape == (1, channels, 33, 47)


def test_mean_and_maximum(pair, problem_of, baseline_of):
    problem = problem_of(pair(1)[0], "task=fusion")
    a, b = problem.observation[0].numpy()
    assert np.allclose(baseline_of("mean")(problem)[0, 0], (a + b) / 2)
    assert np.array_equal(baseline_of("maximum")(problem)[0, 0], np.maximum(a, b))


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (8, 9)])
def test_the_pyramid_gives_back_a_single_picture(size, problem_of, baseline_of):
    pixels = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    problem = problem_of(Images("same", pixels.expand(3, -1, -1, -1)), "task=fusion")
    assert torch.allclose(baseline_of("laplacian")(problem), pixels, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_a_constant_stays_constant_in_the_pyramid(size):
    small = reduced(np.full(size, 0.3))
    assert small.shape == tuple(-(-side // 2) for side in size) and np.allclose(small, 0.3)
    assert np.allclose(expanded(small, size), 0.3)


def test_the_pyramid_is_sharp_where_one_source_is(pair, problem_of, baseline_of):
    picture, sharp = pair(1)
    problem = problem_of(picture, "task=fusion")
    error = {name: (baseline_of(name)(problem) - sharp).square().mean().item() for name in ("mean", "laplacian")}
    assert error["laplacian"] < 0.3 * error["mean"]
    kept = {name: edges_kept(baseline_of(name)(problem)[0, 0].double() * 255, problem.observation[0].double() * 255)
            for name in ("mean", "laplacian")}
    assert kept["laplacian"] > kept["mean"]


def test_what_is_refused(pair, face, problem_of, baseline_of):
    with pytest.raises(ValueError, match=r"^baseline\.levels=0: give a whole number of at least 1$"):
        baseline_of("laplacian", "baseline.levels=0")(problem_of(pair()[0], "task=fusion"))
    for name in ("mean", "maximum", "laplacian"):
        for task, other in (("denoise", "nlm"), ("inpaint", "biharmonic"), ("super_resolution", "lanczos")):
            with pytest.raises(ValueError, match=f"^baseline={name} works for task=fusion only: try baseline={other}$"):
                baseline_of(name)(problem_of(face(), f"task={task}"))
