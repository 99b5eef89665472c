"""One picture out of a folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from dip_lab.data.listing import picked, pictures_in, some_of
from dip_lab.images import Picture, read_picture, resize_to


@dataclass
class Folder:
    """The picture called `name` (file name or stem) in folder `path`, longest side shrunk to `size` px.

    `name` may be None if the folder holds one picture only.
    """

    path: str
    name: str | None = None
    size: int | None = None

    def load(self) -> Picture:
        """Raises ValueError if it is not clear which picture is meant, or the picture cannot be used."""
        folder = Path(os.path.expanduser(str(self.path)))
        names = pictures_in(folder)
        if self.name is not None:
            # str(): the command line reads data.name=101085 as a number.
            file = picked(names, str(self.name), str(folder))
        elif len(names) == 1:
            file = names[0]
        else:
            raise ValueError(
                f"{folder} holds {len(names)} pictures ({some_of(names, 3)}): "
                "add -m to restore each, or pick one with data.name=..."
            )
        return resize_to(read_picture(folder / file), self.size)
