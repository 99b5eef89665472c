"""How wide a network should be for a picture: `net.width=auto`."""

import math

import numpy as np
from torch import Tensor

# (total variation, channels), fitted on the classes that the authors of FasterDIP (https://arxiv.org/abs/2304.11409)
# give their pictures. Observed at sigma 15 and 25, it is at most 4300 where they take 32 channels (House, Set12 01 to
# 07), 6300 to 17200 where they take 64 (F16, Lena, Peppers, kodim02, 03, 12, Set12 08 to 12), and at least 18700 where
# they take 128 (Baboon, kodim01).
WIDTHS = ((5200.0, 32), (18000.0, 64), (math.inf, 128))


def width_for(picture: Tensor, known: Tensor | None) -> int:
    """The channels for a picture (1, C, H, W) as it was observed: the more detail there is to be drawn, the more.

    Args:
        known: 1 where the picture is known and 0 in its holes, broadcastable to it; None: everywhere.

    Raises:
        ValueError: there are several pictures.
    """
    if len(picture) > 1:
        raise ValueError("net.width=auto: looks at a single picture: give the network of a clip, or of tiles, a number")
    amount = detail(picture, known)
    return next(width for most, width in WIDTHS if amount <= most)


def detail(picture: Tensor, known: Tensor | None) -> float:
    """The total variation, summed over the pixels, of a picture (1, C, H, W) in grey without its noise.

    The noise goes by BayesShrink (https://doi.org/10.1109/83.862633). Holes take the value of the nearest known pixel.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.restoration import denoise_wavelet, estimate_sigma

    grey = picture[0].mean(0).cpu().numpy()
    if known is not None:
        hole = (known[0].amin(0) == 0).cpu().numpy()
        grey = grey[tuple(distance_transform_edt(hole, return_distances=False, return_indices=True))]
    sigma = estimate_sigma(grey)
    clean = denoise_wavelet(grey, sigma, "db2", rescale_sigma=True) if sigma > 0 else grey
    return float(np.hypot(np.diff(clean, axis=1)[:-1], np.diff(clean, axis=0)[:, :-1]).sum())
