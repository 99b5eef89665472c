"""Classical deconvolution with the kernel of the problem."""

import numpy as np
from torch import Tensor

from dip_lab.baselines.arrays import array_of, check_task, image_of
from dip_lab.checks import number
from dip_lab.problem import Problem
from dip_lab.tasks.deblur import Blur


def wiener(problem: Problem, balance: float) -> Tensor:
    """Wiener-Hunt deconvolution with the Laplacian L of each channel: F^-1 (conj(H) Y / (|H|^2 + balance |L|^2)).

    It assumes a periodic picture. With another border it is given the picture next to its mirror images, which avoids
    a jump at the edges, but is not exact for any border, so that ripples may remain there.
    By scikit-image; the criterion is from Orieux, Giovannelli, Rodet, https://hal.archives-ouvertes.fr/hal-00674508

    Args:
        problem: deblurring.
        balance: larger is smoother.

    Returns:
        (1, C, H, W) float32 in [0, 1].

    Raises:
        ValueError: the task is not deblurring; `balance` is not positive; the kernel is larger than the picture.
    """
    from skimage.restoration import wiener as deconvolved

    balance = number("baseline.balance", balance, 0, above=True)
    check_task(problem, Blur, "wiener")
    blurred, kernel = array_of(problem).astype(np.float64), problem.operator.kernel.numpy()
    height, width = kernel.shape
    if height > blurred.shape[0] or width > blurred.shape[1]:
        raise ValueError(f"baseline=wiener: the kernel of {width} x {height} px is larger than the picture: "
                         f"give a larger picture, or baseline=tv")
    rows, columns = blurred.shape[:2]
    if problem.operator.border != "circular":
        blurred = np.pad(blurred, ((0, rows), (0, columns), (0, 0)), "symmetric")
    planes = [deconvolved(plane, kernel, balance, clip=False) for plane in np.moveaxis(blurred, -1, 0)]
    return image_of(np.stack(planes, -1)[:rows, :columns], problem)
