"""One picture of a public data set."""

from dataclasses import dataclass, replace

from dip_lab.checks import integer
from dip_lab.data.listing import some_of
from dip_lab.data.registry import located, pictures_of
from dip_lab.images import Picture, crop_to_multiple, read_picture, resize_to


@dataclass
class Collection:
    """The picture `name` of the data set in `folders`, longest side shrunk to `size` px.

    Found under `root` or the variable DIP_LAB_DATA, else downloaded, checked and kept in the user's cache.
    `multiple` crops around the middle to sides that are multiples of it, as published code does to suit its
    networks; 1 keeps the picture whole.
    """

    folders: list[str]
    name: str | None
    size: int | None
    multiple: int
    root: str | None

    def load(self) -> Picture:
        """Raises ValueError for an unknown name, or a file that is neither here nor can be downloaded."""
        integer("data.multiple", self.multiple, 1)
        files = pictures_of(self.folders, self.root)
        names = some_of(list(files), 40)
        if self.name is None:
            raise ValueError(f"data.name is missing: pick one with data.name=..., or all with -m data.name='glob(*)'; "
                             f"there are {names}")
        if str(self.name) not in files:  # str(): the command line reads data.name=101085 as a number
            raise ValueError(f"data.name={self.name}: no such picture in this set; there are {names}")
        picture = read_picture(located(files[str(self.name)], self.root), str(self.name))
        return replace(resize_to(crop_to_multiple(picture, self.multiple), self.size), root=self.root)
