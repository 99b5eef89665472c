"""WebP without loss, with 8 bits a channel."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from dip_lab.answers.format import Format

if TYPE_CHECKING:
    from torch import Tensor

    from dip_lab.data.conventions import Conventions


class Webp(Format):
    """Smaller than PNG, for the web. A grey picture becomes one of three equal channels: WebP has no grey."""

    suffix = ".webp"
    longest = 16383

    def encode(self, pixels: Tensor, conventions: Conventions) -> bytes:
        from PIL import Image

        from dip_lab.png import to_uint8

        stored = io.BytesIO()
        of_colour = conventions.fitting(3)
        # exact: the colours under transparent pixels are kept too
        Image.fromarray(to_uint8(pixels)).save(stored, "WEBP", lossless=True, exact=True,
                                               icc_profile=of_colour.icc or b"", exif=of_colour.exif or b"")
        return stored.getvalue()
