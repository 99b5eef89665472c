import numpy as np
import pytest
import torch

CIRCULAR = ("task=deblur", "task.border=circular")


def test_wiener_is_the_formula(face, problem_of, baseline_of):
    problem = problem_of(face(33, 47), *CIRCULAR)
    blurred, kernel = problem.observation[0].double().numpy(), np.zeros((33, 47))
    kernel[4:29, 11:36] = problem.operator.kernel.numpy()
    kernel = np.roll(kernel, (-16, -23), (0, 1))
    laplacian = np.zeros((33, 47))
    laplacian[0, 0], laplacian[[1, -1], 0], laplacian[0, [1, -1]] = 4, -1, -1
    transfer, penalty = np.fft.fft2(kernel), np.fft.fft2(laplacian)
    filter = transfer.conj() / (np.abs(transfer) ** 2 + 0.02 * np.abs(penalty) ** 2)
    expected = np.fft.ifft2(filter * np.fft.fft2(blurred)).real.clip(0, 1)
    assert np.allclose(baseline_of("wiener", "baseline.balance=0.02")(problem)[0], expected, atol=1e-6)


@pytest.mark.parametrize("psf", ["gaussian", "box", "motion"])
def test_wiener_is_better_than_the_observation(psf, face, problem_of, baseline_of):
    problem = problem_of(face(65, 81), *CIRCULAR, f"task/psf={psf}")
    image = baseline_of("wiener")(problem)
    assert problem.scores(image)["psnr_y"] > problem.scores(problem.observed())["psnr_y"] + 1


def test_a_kernel_of_even_size_does_not_move_the_picture(face, problem_of, baseline_of, tmp_path):
    np.save(tmp_path / "kernel.npy", np.random.default_rng(0).random((4, 6)))
    problem = problem_of(face(40, 48), *CIRCULAR, "task/psf=file", f"task.psf.path={tmp_path / 'kernel.npy'}")
    image = baseline_of("wiener")(problem)
    assert problem.scores(image)["psnr"] > problem.scores(problem.observed())["psnr"] + 3


def test_wrong_values(face, problem_of, baseline_of):
    with pytest.raises(ValueError, match=r"baseline\.balance=0: give a number above 0"):
        baseline_of("wiener", "baseline.balance=0")(problem_of(face(), "task=deblur"))
    with pytest.raises(ValueError, match="^baseline=wiener: the kernel of 25 x 25 px is larger than the picture"):
        baseline_of("wiener")(problem_of(face(20, 40), "task=deblur"))


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG"])
def test_bilinear_demosaicing_is_what_is_shown(pattern, face, problem_of, baseline_of):
    problem = problem_of(face(), "task=demosaic", f"task.pattern={pattern}")
    image = baseline_of("bilinear_demosaic")(problem)
    assert torch.equal(image, problem.observed()) and problem.scores(image)["psnr"] > 20
