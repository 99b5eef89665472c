"""PSNR and SSIM on float images in [0, 1], as the papers report them: pure functions of (1, C, H, W) tensors.

Every score is a 0-d float32 tensor on the image's device, so nothing waits for the host; images are clamped
first. The PSNR of two equal images is infinite: whoever writes it to a file caps it or writes null.
"""

from torch import Tensor

_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5


def psnr(image: Tensor, target: Tensor, where: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in dB, range 1, one mean over all pixels and channels.

    `where`, broadcastable to the image, counts only the values where it is 1.

    >>> import torch
    >>> psnr(torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 0.6)).round()
    tensor(20.)
    """
    square = (_clamped(image) - _clamped(target)).square()
    if where is None:
        return -10 * square.mean().log10()
    counted = where.to(square).expand_as(square)
    return -10 * ((square * counted).sum() / counted.sum()).log10()


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004): the mean over all windows of `ssim_windows`."""
    return ssim_windows(image, target).mean()


def ssim_windows(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of each window: Gaussian, 11 x 11, sigma 1.5, no padding, range 1.

    A picture with a side under 11 px gets the largest odd window that fits, its sigma shrunk in proportion.

    Returns:
        (1, C, h, w) float32, smaller than the images by the half of a window on each side.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # 2 s to import

    radius = min(_SSIM_WINDOW, *image.shape[-2:]) - 1 >> 1
    sigma = (
        _SSIM_SIGMA if radius == _SSIM_WINDOW // 2 else radius / 3.5
    )  # torchmetrics: radius = round(3.5 sigma)
    _, similarity = structural_similarity_index_measure(
        _clamped(image), _clamped(target), sigma=sigma, data_range=1.0, return_full_image=True
    )
    height, width = image.shape[-2:]
    return similarity[..., radius : height - radius, radius : width - radius]  # it has the padded border too


def ssim_where(windows: Tensor, where: Tensor) -> Tensor:
    """The mean over the windows around the values where `where` (1, 1 or C, H, W) is 1; NaN if there are none."""
    margin = (where.shape[-1] - windows.shape[-1]) // 2
    height, width = where.shape[-2:]
    counted = where[..., margin : height - margin, margin : width - margin].to(windows).expand_as(windows)
    return (windows * counted).sum() / counted.sum()


def limited_luma(image: Tensor) -> Tensor:
    """Y of YCbCr, 16/255 to 235/255, of the first three channels; a grey picture is returned as is."""
    if image.shape[1] < 3:
        return image
    red, green, blue = image[:, 0:1], image[:, 1:2], image[:, 2:3]
    return (0.299 * red + 0.587 * green + 0.114 * blue) * (219 / 255) + 16 / 255


def psnr_y(image: Tensor, target: Tensor, border: int, far_border: int | None = None) -> Tensor:
    """PSNR of the Y channel with `border` px shaved from each side, the rule of the super-resolution tables.

    Args:
        far_border: what is shaved at the bottom and on the right; None: `border` as well.

    Raises:
        ValueError: the border leaves nothing of the picture.
    """
    height, width = image.shape[-2:]
    far = border if far_border is None else far_border
    if min(height, width) <= border + far:
        raise ValueError(
            f"task.evaluation.border={border}: nothing is left of a picture of {width} x {height} px; "
            f"try task.evaluation.border={max(0, (min(height, width) - 1) // 4)}"
        )
    inside = (..., slice(border, height - far), slice(border, width - far))
    return psnr(limited_luma(_clamped(image))[inside], limited_luma(_clamped(target))[inside])


def _clamped(image: Tensor) -> Tensor:
    return image.detach().float().clamp(0, 1)
