"""TIFF with 16 bits a channel, without loss."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from dip_lab.answers.format import Format

if TYPE_CHECKING:
    from torch import Tensor

    from dip_lab.data.conventions import Conventions


class Tiff(Format):
    """One strip of rows, each value stored as its difference to the one before it, compressed (Adobe Deflate).

    EXIF data have the form of a TIFF file without pixels: the list of their tags, with the pixels' own added, is the
    beginning of the file. Pillow writes no 16-bit colour, and tifffile no list inside another one.
    """

    suffix = ".tiff"
    bits = 16

    def encode(self, pixels: Tensor, conventions: Conventions) -> bytes:
        from PIL import Image

        from dip_lab.png import to_uint16

        samples = to_uint16(pixels)
        height, width, channels = samples.shape
        tags = Image.Exif()
        if conventions.exif is not None:
            tags.load(conventions.exif)
        samples[:, 1:] -= samples[:, :-1].copy()  # modulo 65536
        tags[0x0100], tags[0x0101], tags[0x0102] = width, height, (16,) * channels
        tags[0x0103], tags[0x0106] = 8, 2 if channels > 2 else 1  # Adobe Deflate; RGB, or grey with 0 for black
        tags[0x0115], tags[0x0116], tags[0x011C], tags[0x013D] = channels, height, 1, 2  # channels side by side
        if channels in (2, 4):
            tags[0x0152] = 2  # transparency that the colours have not been multiplied by
        if conventions.icc is not None:
            tags[0x8773] = conventions.icc
        tags[0x0111] = 0  # where the strip starts: Pillow adds the length of all before it
        order = ">" if tags.tobytes()[6:8] == b"MM" else "<"
        strip = zlib.compress(samples.astype(f"{order}u2"))
        tags[0x0117] = len(strip)
        return tags.tobytes()[6:] + strip
