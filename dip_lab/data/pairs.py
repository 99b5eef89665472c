"""The pictures of a folder that belong together."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip_lab.data.grouping import groups_in
from dip_lab.data.listing import some_of
from dip_lab.data.registry import digest
from dip_lab.data.source import Source
from dip_lab.data.sources import Sources

if TYPE_CHECKING:
    from dip_lab.data.images import Images


@dataclass
class Pairs(Source):
    """The group called `name` of folder `path`, two pictures or more, longest side shrunk to `size` px.

    `dip_lab.data.grouping` says what a group is. `name` may be None if the folder holds only one group.
    """

    path: str
    name: str | None
    size: int | None
    separators: str

    @property
    def label(self) -> str:
        return self._folder.name if self.name is None else str(self.name)

    def names(self) -> list[str]:
        return list(groups_in(self._folder, self.separators))

    def identity(self) -> dict[str, Any]:
        try:
            files = groups_in(self._folder, self.separators)[self._name()]
        except (ValueError, KeyError):  # refused, with the reason, where the pictures are read
            return {}
        return {"path": [digest(str(self._folder / file)) for file in files], "name": None}

    def load(self) -> Images:
        """Raises ValueError if it is not clear which group is meant, or its pictures cannot be used."""
        groups, name = groups_in(self._folder, self.separators), self._name()
        if name not in groups:
            raise ValueError(f"data.name={name}: no such group in {self._folder}; there are "
                             f"{some_of(list(groups), 40)}")
        return replace(Sources([str(self._folder / file) for file in groups[name]], self.size).load(), name=name)

    @property
    def _folder(self) -> Path:
        return Path(os.path.expanduser(str(self.path)))

    def _name(self) -> str:
        if self.name is not None:
            return str(self.name)  # the command line reads data.name=010 as a number
        names = self.names()
        if len(names) > 1:
            raise ValueError(f"{self._folder} holds {len(names)} groups ({some_of(names, 3)}): "
                             "add -m to fuse each, or pick one with data.name=...")
        return names[0]
