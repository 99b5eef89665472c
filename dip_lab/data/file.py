"""One picture from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images


@dataclass
class File(Source):
    """The picture at `path` (relative to where the command was typed), longest side shrunk to `size` px."""

    path: str
    size: int | None = None
    clean: bool = False

    @property
    def label(self) -> str:
        return Path(str(self.path)).stem

    def load(self) -> Images:
        """Raises ValueError if the file cannot be used, see `dip_lab.data.images.read_picture`."""
        from dip_lab.data.conventions import announce
        from dip_lab.data.images import read_picture

        picture = read_picture(str(self.path), size=self.size)
        announce(self.path, picture)
        return picture
