"""The samples of a decoded picture, a few rows at a time: a large one is never in memory twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

ORIENTATION = 0x0112  # of EXIF data
BAND = 2**18


@dataclass(frozen=True)
class Samples:
    """Height and width in px, and a function of the first row and the one after the last.

    What it returns is (rows, W), or (rows, W, C) with transparency last if C is 2 or 4.
    """

    height: int
    width: int
    rows: Callable[[int, int], np.ndarray]

    def bands(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All rows from the top to the bottom: (which, their samples (rows, W, C))."""
        for rows in bands(self.height, self.width):
            band = self.rows(rows.start, rows.stop)
            yield rows, band[..., None] if band.ndim == 2 else band


def bands(height: int, width: int) -> Iterator[slice]:
    """Rows that are converted together: about `BAND` values of `height` rows of `width`.

    >>> list(bands(3, 200_000))
    [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)]
    """
    step = max(1, BAND // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def upright(image: Image.Image, in_place: bool = True) -> Image.Image:
    """The loaded image, turned as its EXIF data say; the image itself where it need not be turned."""
    image.load()
    if image.getexif().get(ORIENTATION, 1) == 1:
        return image
    return ImageOps.exif_transpose(image, in_place=in_place) or image


def rows_of(image: Image.Image, mode: str | None = None) -> Callable[[int, int], np.ndarray]:
    """The rows of a loaded image, converted to another of Pillow's modes if one is given."""
    def rows(top: int, bottom: int) -> np.ndarray:
        band = image.crop((0, top, image.width, bottom))
        return np.asarray(band if mode is None else band.convert(mode))

    return rows
