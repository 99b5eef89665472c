import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dip_lab.metrics import limited_luma, psnr, psnr_y, ssim


def pair(channels=3, height=24, width=31, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(1, channels, height, width, generator=generator)
    return target + 0.1 * torch.randn(target.shape, generator=generator), target


def array(image):
    return image[0].clamp(0, 1).double().permute(1, 2, 0).numpy()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_psnr_and_ssim_equal_scikit_image(channels, seed):
    image, target = pair(channels, seed=seed)
    a, b = array(image), array(target)
    expected = structural_similarity(
        b, a, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2
    )
    assert psnr(image, target).item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4)
    assert ssim(image, target).item() == pytest.approx(expected, abs=1e-4)


def test_scores_are_scalars_without_a_graph():
    image, target = pair()
    for score in (psnr(image.requires_grad_(), target), ssim(image, target), psnr_y(image, target, 4)):
        assert score.shape == () and score.dtype == torch.float32 and not score.requires_grad


def test_equal_images_are_perfect_and_constant_ones_finite():
    image, target = pair()
    assert psnr(target, target) == float("inf")
    assert ssim(target, target).item() == pytest.approx(1)
    black, white = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    assert psnr(black, white) == 0
    assert 0 <= ssim(black, white).item() < 1e-3
    assert ssim(black, black).item() == pytest.approx(1)


@pytest.mark.parametrize("side", [8, 9, 10, 11])
def test_ssim_of_pictures_near_its_window(side):
    image, target = pair(height=side, width=20)
    assert 0 < ssim(image, target).item() < ssim(target, target).item()
    assert ssim(target, target).item() == pytest.approx(1)


def test_psnr_of_some_values_only():
    image, target = pair(1)
    where = torch.zeros(1, 1, 24, 31)
    where[..., :5] = 1
    assert psnr(image, target, where).item() == pytest.approx(
        psnr(image[..., :5], target[..., :5]).item(), abs=1e-4
    )
    three, other = pair(3)
    assert psnr(three, other, torch.ones(1, 1, 24, 31)).item() == pytest.approx(
        psnr(three, other).item(), abs=1e-4
    )


def test_luma_is_studio_range():
    assert limited_luma(torch.zeros(1, 3, 1, 1)).item() == pytest.approx(16 / 255)
    assert limited_luma(torch.ones(1, 3, 1, 1)).item() == pytest.approx(235 / 255)
    grey = torch.rand(1, 1, 3, 3)
    assert limited_luma(grey) is grey
    rgba = torch.rand(1, 4, 3, 3)
    assert torch.equal(limited_luma(rgba), limited_luma(rgba[:, :3]))


def test_psnr_y_shaves_the_border():
    image, target = pair()
    weights = np.array([0.299, 0.587, 0.114]) * 219 / 255
    a, b = ((array(x) @ weights + 16 / 255)[4:-4, 4:-4] for x in (image, target))
    assert psnr_y(image, target, 4).item() == pytest.approx(
        peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4
    )
    assert psnr_y(image, target, 0).item() == pytest.approx(
        psnr(limited_luma(image.clamp(0, 1)), limited_luma(target)).item()
    )
    with pytest.raises(
        ValueError, match=r"task\.evaluation\.border=12.*31 x 24.*try task\.evaluation\.border=5"
    ):
        psnr_y(image, target, 12)
