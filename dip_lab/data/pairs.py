"""The pictures of a folder that belong together."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from dip_lab.data.grouping import groups_in
from dip_lab.data.listing import some_of
from dip_lab.data.sources import Sources
from dip_lab.images import Picture


@dataclass
class Pairs:
    """The group called `name` of folder `path`, two pictures or more, longest side shrunk to `size` px.

    `dip_lab.data.grouping` says what a group is. `name` may be None if the folder holds one group only.
    """

    path: str
    name: str | None
    size: int | None
    separators: str

    def load(self) -> Picture:
        """Raises ValueError if it is not clear which group is meant, or its pictures cannot be used."""
        folder = Path(os.path.expanduser(str(self.path)))
        groups = groups_in(folder, self.separators)
        name = next(iter(groups)) if self.name is None and len(groups) == 1 else self.name
        if name is None:
            raise ValueError(f"{folder} holds {len(groups)} groups ({some_of(list(groups), 3)}): "
                             "add -m to fuse each, or pick one with data.name=...")
        name = str(name)  # the command line reads data.name=010 as a number
        if name not in groups:
            raise ValueError(f"data.name={name}: no such group in {folder}; there are {some_of(list(groups), 40)}")
        picture = Sources([str(folder / file) for file in groups[name]], self.size).load()
        return replace(picture, name=name)
