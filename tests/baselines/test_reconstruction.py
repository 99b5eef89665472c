import numpy as np
import pytest
import torch
from skimage.transform import iradon


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("filter", ["ramp", "hann"])
def test_fbp_is_scikit_image_s(filter, channels, face, problem_of, baseline_of):
    problem = problem_of(face(32, 32, channels), "task=ct", "task.views=20", "task.sigma=1")
    image = baseline_of("fbp", f"baseline.filter={filter}")(problem)
    assert image.shape == problem.image_shape == (1, channels, 32, 32) and image.dtype == torch.float32
    for plane, lines in zip(image[0], problem.observation[0], strict=True):
        expected = iradon(lines.double().numpy() * 32, np.arange(20) * 9, 32, filter_name=filter, circle=False)
        np.testing.assert_allclose(plane.numpy(), expected.clip(0, 1), atol=1e-6)


def test_a_smoother_filter_is_better_with_noise(face, problem_of, baseline_of):
    problem = problem_of(face(64, 64, 1), "task=ct", "task.views=60", "task.sigma=5")
    ramp, hann = (baseline_of("fbp", f"baseline.filter={name}")(problem) for name in ("ramp", "hann"))
    assert problem.scores(hann)["psnr"] > problem.scores(ramp)["psnr"]


@pytest.mark.parametrize("more", [[], ["task.complex=true", "task.phase=1"]])
def test_zero_filled(more, face, problem_of, baseline_of):
    problem = problem_of(face(33, 47, 1), "task=mri", *more)
    image = baseline_of("zero_filled")(problem)
    assert image.shape == problem.image_shape and image.min() >= 0 and image.max() <= 1
    real, imaginary = problem.observation[0].numpy()
    zero_filled = np.fft.ifft2(np.fft.ifftshift(real + 1j * imaginary), norm="ortho")
    expected = np.abs(np.fft.fftshift(zero_filled)).clip(0, 1)
    np.testing.assert_allclose(problem.shown(image)[0, 0].numpy().clip(0, 1), expected, atol=1e-5)


@pytest.mark.parametrize("name, task, other", [("fbp", "mri", "zero_filled"), ("zero_filled", "ct", "fbp"),
                                               ("fbp", "denoise", "nlm"), ("zero_filled", "inpaint", "biharmonic")])
def test_other_tasks_are_refused(name, task, other, face, problem_of, baseline_of):
    own = "ct" if name == "fbp" else "mri"
    with pytest.raises(ValueError, match=f"^baseline={name} works for task={own} only: try baseline={other}$"):
        baseline_of(name)(problem_of(face(), f"task={task}"))


def test_other_filters_are_refused(face, problem_of, baseline_of):
    with pytest.raises(ValueError, match=r"baseline\.filter=box: choose ramp, shepp-logan"):
        baseline_of("fbp", "baseline.filter=box")(problem_of(face(), "task=ct"))
