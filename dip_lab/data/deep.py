"""Colour of 16 bits a channel, of which Pillow gives the upper 8: read twice, for the upper and for the lower bytes."""

import sys
from typing import IO

import numpy as np
from PIL import Image

from dip_lab.data.samples import Samples, rows_of, upright

# A decoder that is told the other order of bytes takes the lower byte of a sample for the upper one.
SWAPPED = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
COLOUR = ("RGB;16", "RGBA;16", "RGBX;16")  # of Pillow's raw modes; others, such as RGBa;16 and CMYK;16, are converted
GREY_ALPHA = "LA;16B"


def is_deep(image: Image.Image) -> bool:
    """Whether an opened PNG, TIFF or PPM, not loaded yet, has colour or transparency (of a PPM: or grey) of 16 bits.

    Raises:
        ValueError: it is a TIFF of 16 bits whose planes are stored apart and not compressed, which Pillow misreads.
    """
    if image.format == "PPM":
        return image.mode == "I" or (image.mode == "RGB" and _largest_of_ppm(image) > 255)
    if image.format not in ("PNG", "TIFF"):
        return False
    if _has_planes_apart(image) and 16 in image.tag_v2.get(258, ()) and image.tile[0].codec_name == "raw":
        raise ValueError("16 bits a channel in separate planes, not interleaved")
    return image.mode in ("RGB", "RGBA", "LA") and ";16" in raw_mode(image)


def sixteen_bits(image: Image.Image, file: IO[bytes], formats: tuple[str, ...]) -> Samples | None:
    """uint16, upright; C is 2 (grey), 3 or 4, transparency last; a grey PPM has no such axis.

    None if the upper 8 bits are all there is.

    Args:
        image: what `is_deep` is true for; it is loaded.
        file: where it was opened from; it must stay open as long as rows are read.
        formats: those that Pillow may open.
    """
    if image.format == "PPM":
        return _of_ppm(image, file)
    raw = raw_mode(image)
    if raw == GREY_ALPHA:  # the two bytes of both channels as four channels
        _set_raw_mode(image, "RGBA")
        read = rows_of(upright(image))
        return Samples(image.height, image.width, lambda top, bottom: read(top, bottom).view(">u2").astype(np.uint16))
    start, order = raw[:-1], raw[-4:]
    if start not in COLOUR or order not in SWAPPED or _has_planes_apart(image):
        return None
    position = file.tell()
    upper = rows_of(upright(image))
    file.seek(0)
    second = Image.open(file, formats=formats)
    _set_raw_mode(second, raw.replace(order, SWAPPED[order]))
    lower = rows_of(upright(second))
    file.seek(position)
    clear = image.info.get("transparency")

    def rows(top: int, bottom: int) -> np.ndarray:
        samples = upper(top, bottom).astype(np.uint16) << 8 | lower(top, bottom)
        if isinstance(clear, tuple) and samples.shape[2] == 3:  # PNG's one colour that is transparent
            opaque = (samples != np.array(clear, np.uint16)).any(2, keepdims=True)
            samples = np.concatenate([samples, opaque.astype(np.uint16) * 65535], 2)
        return samples

    return Samples(image.height, image.width, rows)


def _of_ppm(image: Image.Image, file: IO[bytes]) -> Samples | None:
    if image.mode == "I":  # Pillow scales grey to 16 bits itself
        image.load()
        read = rows_of(image)
        return Samples(image.height, image.width, lambda top, bottom: read(top, bottom).astype(np.uint16))
    if image.tile[0].codec_name != "ppm":  # colour written as text
        return None
    largest, start, width = _largest_of_ppm(image), image.tile[0].offset, image.width

    def rows(top: int, bottom: int) -> np.ndarray:
        file.seek(start + 6 * width * top)
        samples = np.frombuffer(file.read(6 * width * (bottom - top)), ">u2").reshape(bottom - top, width, 3)
        return np.rint(samples.clip(max=largest) * (65535 / largest)).astype(np.uint16)

    return Samples(image.height, width, rows)


def _largest_of_ppm(image: Image.Image) -> int:
    arguments = image.tile[0].args
    return arguments[1] if isinstance(arguments, tuple) and len(arguments) == 2 else 255


def _has_planes_apart(image: Image.Image) -> bool:
    return image.format == "TIFF" and image.tag_v2.get(284) == 2


def raw_mode(image: Image.Image) -> str:
    """The layout of the file's samples, as Pillow calls it; empty where nothing is left to decode."""
    arguments = image.tile[0].args if getattr(image, "tile", None) else ""
    return str(arguments if isinstance(arguments, str) or arguments is None else arguments[0])


def _set_raw_mode(image: Image.Image, raw: str) -> None:
    image.tile = [tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))
                  for tile in image.tile]
