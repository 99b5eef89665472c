"""PNG: without loss, with 8 or 16 bits a channel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dip_lab.answers.format import Format

if TYPE_CHECKING:
    from torch import Tensor

    from dip_lab.data.conventions import Conventions

DEPTH = 24  # where in the file the bits a channel are


class Png(Format):
    """PNG of `bits` a channel: 8, 16, or None for as many as the picture's file has.

    Raises:
        ValueError: any other number.
    """

    suffix = ".png"

    def __init__(self, bits: int | None):
        if bits not in (None, 8, 16):
            raise ValueError(f"answer.bits={bits}: give 8, 16, or null for as many as the picture's file has")
        self.bits = bits

    def encode(self, pixels: Tensor, conventions: Conventions) -> bytes:
        from dip_lab.png import encode_png

        return encode_png(pixels, self.bits or conventions.bits, conventions.icc, conventions.exif, conventions.dpi)

    def is_written(self, stem: Path) -> bool:
        """True if any depth will do: a fit always writes a PNG, and who removed it does not want it again."""
        if self.bits is None:
            return True
        try:
            with self.path(stem).open("rb") as file:
                return file.read(DEPTH + 1)[DEPTH:] == bytes([self.bits])
        except FileNotFoundError:
            return False
