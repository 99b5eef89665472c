"""JPEG: small, for sending; it loses a little and has no transparency."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

from dip_lab.answers.format import Format
from dip_lab.checks import integer

if TYPE_CHECKING:
    from torch import Tensor

    from dip_lab.data.conventions import Conventions

log = logging.getLogger(__name__)
SEGMENT = 65533  # bytes that a part of the file's head can hold


class Jpeg(Format):
    """JPEG of a quality from 1 to 100, whose colours are as fine as its brightness (4:4:4).

    Raises:
        ValueError: `quality` is not from 1 to 100.
    """

    suffix = ".jpg"
    transparent = False
    longest = 65500  # libjpeg's own limit

    def __init__(self, quality: int):
        self.quality = integer("answer.quality", quality, 1, 100)

    def encode(self, pixels: Tensor, conventions: Conventions) -> bytes:
        from PIL import Image

        from dip_lab.png import to_uint8

        exif, stored = conventions.exif or b"", io.BytesIO()
        if len(exif) > SEGMENT:
            log.warning("answer=jpeg: the EXIF data of %d bytes are left out, JPEG holds %d", len(exif), SEGMENT)
            exif = b""
        Image.fromarray(to_uint8(pixels)).save(stored, "JPEG", quality=self.quality, subsampling=0, exif=exif,
                                               icc_profile=conventions.icc, dpi=conventions.dpi or (0, 0))
        return stored.getvalue()
