"""A measurement that is not an image, from a NumPy file."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dip_lab.checks import number
from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images

_log = logging.getLogger(__name__)


@dataclass
class Array(Source):
    """The array in the `.npy` file at `path`, times `scale`, as (1, C, h, w) float32 of any range.

    It is (h, w) or (C, h, w). The C channels of a complex array become 2C: the real parts, then the imaginary parts.
    """

    path: str
    scale: float

    @property
    def label(self) -> str:
        return Path(str(self.path)).stem

    def load(self) -> Images:
        """Raises ValueError if the file is not such an array, or holds NaN or infinity."""
        import numpy as np
        import torch

        from dip_lab.data.images import MAX_PIXELS, Images
        from dip_lab.data.samples import bands

        path, scale = Path(os.path.expanduser(str(self.path))), number("data.scale", self.scale, 0, above=True)
        if not path.is_file():
            raise ValueError(f"data.path={path}: no such file (relative paths start at {Path.cwd()})")
        try:
            array = np.lib.format.open_memmap(path, mode="r")  # reads the header only, and never pickled objects
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"data.path={path}: not an array of numbers as numpy.save writes it "
                             f"({' '.join(str(error).split())})") from error
        if array.dtype.kind not in "iufc" or array.ndim not in (2, 3) or not array.size:
            raise ValueError(f"data.path={path}: {array.dtype} of shape {array.shape}: give real or complex numbers of "
                             "shape (h, w) or (channels, h, w)")
        parts = [array.real, array.imag] if array.dtype.kind == "c" else [array]
        if (count := len(parts) * array.size) > MAX_PIXELS:
            raise ValueError(f"data.path={path}: {count:,} values: give at most {MAX_PIXELS:,}")
        height, width = array.shape[-2:]
        channels = array.size // (height * width)
        pixels = np.empty((1, len(parts) * channels, height, width), np.float32)
        with np.errstate(over="ignore"):  # refused below
            for part, block in zip(parts, np.split(pixels[0], len(parts)), strict=True):
                planes = part.reshape(block.shape)
                for rows in bands(height, channels * width):  # there is no float64 copy of the whole
                    block[:, rows] = planes[:, rows].astype(np.float64) * scale
        if not np.isfinite(pixels).all():
            raise ValueError(f"data.path={path}: values are NaN, infinite or too large: replace them by numbers")
        return Images(path.stem, torch.from_numpy(pixels))


def check_sides(images: Images) -> None:
    """Refuse an array with a side that is too short for a picture.

    Raises:
        ValueError: with the order of the axes that was probably meant.
    """
    from dip_lab.data.images import MIN_SIDE

    channels, height, width = images.pixels.shape[1:]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"{images.name}: {channels} channels of {width} x {height} px (width x height), but every "
                         f"side must have at least {MIN_SIDE} px: {transposed(images) or 'give a larger one'}")


def transposed(images: Images) -> str:
    """What puts the channels of an array first, if they seem to stand elsewhere; else an empty text."""
    from dip_lab.data.images import MIN_SIDE

    channels, height, width = images.pixels.shape[1:]
    if min(channels, height) >= MIN_SIDE > width:
        return "if the last axis is that of the channels, save numpy.moveaxis(array, -1, 0)"
    if min(channels, width) >= MIN_SIDE > height:
        return "if the second axis is that of the channels, save numpy.moveaxis(array, 1, 0)"
    return ""


def advise_scale(peak: float) -> None:
    """Warn in the log if a direct reconstruction reaches a `peak` that no image in [0, 1] explains."""
    if not 0.2 <= peak <= 5:
        remedy = f"; scale it, for example by data.scale={1 / peak:.3g} times the present one" if peak > 0 else ""
        _log.warning("the picture behind the measurement seems to reach %.3g, but an image lies in [0, 1]%s", peak,
                     remedy)
