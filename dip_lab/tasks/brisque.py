"""BRISQUE: how natural a picture looks, without a reference; the package `brisque` brings the published weights."""

import functools
import importlib.util
import warnings
from typing import Any

import numpy as np
from torch import Tensor

from dip_lab.png import to_uint8


def check_brisque() -> None:
    """Raises ValueError if the package is not installed."""
    if importlib.util.find_spec("brisque") is None:
        raise ValueError("task.evaluation.brisque=true needs a package: pip install 'dip_lab[quality]'")


def brisque(image: Tensor) -> float:
    """The score of (1, C, H, W) in [0, 1], from 0 to about 100; lower is better.

    Mittal, Moorthy and Bovik, No-reference image quality assessment in the spatial domain, IEEE TIP 2012,
    https://doi.org/10.1109/TIP.2012.2214050. It was trained on photographs with strong, known damage.
    """
    pixels = to_uint8(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        return float(_model().score(pixels if pixels.ndim == 3 else np.stack([pixels] * 3, -1)))


@functools.cache
def _model() -> Any:
    from brisque import BRISQUE

    class Flat(BRISQUE):
        """Some of version 0.2.0's features are arrays of one value, which NumPy 2.4 no longer takes for numbers."""

        def scale_features(self, features: Any) -> np.ndarray:
            return super().scale_features(np.concatenate([np.ravel(feature) for feature in features]))

    return Flat(url=False)
