"""Pictures to train on, some of which are held out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip_lab.checks import integer
from dip_lab.data.listing import all_pictures_in, of_set
from dip_lab.data.registry import digest, pictures_of
from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images


@dataclass
class TrainingSet(Source):
    """The pictures of `path`, or of the data set in `folders`; `name` picks one, as any other source does.

    `held_out` of them, the last ones by name, are not trained on: their scores say when to keep the weights. `folders`
    are looked for under `root` or the variable DIP_LAB_DATA.
    """

    path: str | None
    folders: list[str]
    held_out: int
    name: str | None
    root: str | None

    @property
    def label(self) -> str:
        return "picture" if self.name is None else Path(str(self.name)).stem

    def names(self) -> list[str]:
        return list(self._files())

    def split(self) -> tuple[list[str], list[str]]:
        """The names to train on, and those that are held out.

        Raises:
            ValueError: there are too few pictures.
        """
        names, count = self.names(), integer("data.held_out", self.held_out, 1)
        if len(names) <= count:
            raise ValueError(f"data.held_out={count}: there are {len(names)} pictures in {self.path or self.folders}: "
                             "hold out fewer, or give more")
        return names[:-count], names[-count:]

    def identity(self) -> dict[str, Any]:
        if self.name is not None:  # as a single picture, for run.py
            file = self._files().get(str(self.name))
            return {"path": digest(file, self.root), "name": None, "folders": None, "root": None} if file else {}
        return {"files": {name: os.path.getsize(file) for name, file in self._files().items()}, "root": None,
                "path": None, "folders": None}

    def load(self) -> Images:
        """Raises ValueError for an unknown name, or a file that cannot be read."""
        return self.picture(of_set(self.names(), self.name))

    def picture(self, name: str) -> Images:
        """One of them.

        Raises:
            ValueError: it cannot be read.
        """
        from dip_lab.data.images import read_picture
        from dip_lab.data.registry import located

        return read_picture(located(self._files()[name], self.root), name)

    def _files(self) -> dict[str, str]:
        if self.path is not None:
            folder = Path(os.path.expanduser(str(self.path)))
            return {name: str(folder / name) for name in all_pictures_in(folder)}
        files = pictures_of(list(self.folders), self.root)
        if not files:
            raise ValueError(f"data.root: no picture in {_listed(self.folders)} there: give the folder that holds it, "
                             "data.root=..., or name it in the variable DIP_LAB_DATA")
        return files


def _listed(folders: Sequence[str]) -> str:
    return " or ".join(map(str, folders))
