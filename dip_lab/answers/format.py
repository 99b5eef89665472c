"""What every file format of the answer offers. No torch: the command line asks whether a file is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from dip_lab.data.conventions import Conventions


class Format:
    """A format that the restored picture is written in. A new one defines `suffix` and `encode`.

    Attributes:
        suffix: of the file's name, such as `.tiff`.
        transparent: whether it can hold transparency.
        bits: the most a channel that it can hold.
        longest: the longest side that it can hold, in px; None: any.
    """

    suffix: str
    transparent = True
    bits: int | None = 8
    longest: int | None = None

    def encode(self, pixels: Tensor, conventions: Conventions) -> bytes:
        """The content of the file.

        Args:
            pixels: (1, C, H, W) in [0, 1]; C is 1 or 3, or 2 or 4 with transparency last, if it is `transparent`.
            conventions: what the file shall say beside its pixels; its profile suits C.
        """
        raise NotImplementedError

    def path(self, stem: Path) -> Path:
        """The file; `stem` is its folder and the name of the answer, such as `dip_denoised`."""
        return stem.with_name(stem.name + self.suffix)

    def is_written(self, stem: Path) -> bool:
        """Whether the answer of an earlier fit is there in this format."""
        return self.path(stem).is_file()
