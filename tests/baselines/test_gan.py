"""The inpainter that comes with dip_lab: it fills holes, leaves what is known, and refuses other tasks."""

import pytest
import torch

from dip_lab.baselines.trained import Learned
from dip_lab.compose import compose

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mask", ["box", "strokes", "blobs"])
def test_it_fills_holes_and_nothing_else(mask, channels, face, problem_of, baseline_of):
    problem = problem_of(face(49, 62, channels), "task=inpaint", f"task/mask={mask}")
    gan = baseline_of("gan")
    image, known = gan(problem), problem.operator.known.bool()
    known = known.expand_as(image)
    assert image.shape == problem.image_shape and image.min() >= 0 and image.max() <= 1
    assert torch.equal(image[known], problem.observation[known])
    assert not torch.equal(image[~known], torch.zeros_like(image[~known]))
    assert problem.scores(image)["psnr_hole"] > problem.scores(problem.observed())["psnr_hole"] + 3
    assert gan.about["objective"] == "adversarial" and gan.about["net"] == "gated_unet"
    problem.target = None
    assert torch.equal(gan(problem), image)


def test_noise_is_not_put_back(face, problem_of, baseline_of):
    problem = problem_of(face(32, 32), "task=inpaint", "task/mask=box", "task/noise=gaussian", "task.noise.sigma=25")
    image, known = baseline_of("gan")(problem), problem.operator.known.bool().expand(problem.image_shape)
    assert not torch.equal(image[known], problem.observation[known])


def test_other_tasks_are_refused(face, problem_of, baseline_of):
    with pytest.raises(ValueError, match="was trained for task=inpaint, not for denoise"):
        baseline_of("gan")(problem_of(face(), "task=denoise"))


def test_the_yaml_is_that_of_a_trained_restorer():
    baseline = compose(["baseline=gan"]).baseline
    assert baseline._target_.endswith(Learned.__name__) and baseline.checkpoint == "dip_lab/weights/inpaint_colour.pt"
