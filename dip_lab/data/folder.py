"""One picture from a folder."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip_lab.data.listing import all_pictures_in, picked, some_of
from dip_lab.data.registry import digest
from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images


@dataclass
class Folder(Source):
    """The picture called `name` (file name or stem) in folder `path`, longest side shrunk to `size` px.

    `name` may be None if the folder holds only one picture.
    """

    path: str
    name: str | None = None
    size: int | None = None
    clean: bool = False

    @property
    def label(self) -> str:
        return self._folder.name if self.name is None else Path(str(self.name)).stem

    def names(self) -> list[str]:
        return all_pictures_in(self._folder)

    def identity(self) -> dict[str, Any]:
        with contextlib.suppress(ValueError):  # refused, with the reason, where the picture is read
            return {"path": digest(str(self._file())), "name": None}
        return {}

    def load(self) -> Images:
        """Raises ValueError if it is not clear which picture is meant, or the picture cannot be used."""
        from dip_lab.data.conventions import announce
        from dip_lab.data.images import read_picture

        file = self._file()
        picture = read_picture(file, size=self.size)
        announce(file, picture)
        return picture

    @property
    def _folder(self) -> Path:
        return Path(os.path.expanduser(str(self.path)))

    def _file(self) -> Path:
        names = self.names()
        if self.name is not None:
            # str(): the command line reads data.name=101085 as a number.
            return self._folder / picked(names, str(self.name), str(self._folder))
        if len(names) > 1:
            raise ValueError(f"{self._folder} holds {len(names)} pictures ({some_of(names, 3)}): "
                             "add -m to restore each, or pick one with data.name=...")
        return self._folder / names[0]
