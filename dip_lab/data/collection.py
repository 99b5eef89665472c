"""One picture of a public data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dip_lab.checks import integer
from dip_lab.data.listing import of_set
from dip_lab.data.registry import digest, located, pictures_of
from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images


@dataclass
class Collection(Source):
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

    @property
    def label(self) -> str:
        return "picture" if self.name is None else str(self.name)

    def names(self) -> list[str]:
        return list(self._files())

    def identity(self) -> dict[str, Any]:
        file = self._files().get(str(self.name))
        return {"path": digest(file, self.root), "name": None, "folders": None, "root": None} if file else {}

    def load(self) -> Images:
        """Raises ValueError for an unknown name, or a file that is not here and cannot be downloaded."""
        from dip_lab.data.images import read_picture
        from dip_lab.data.sizes import crop_to_multiple, resize_to

        multiple = integer("data.multiple", self.multiple, 1)
        files = self._files()
        name = of_set(list(files), self.name)
        picture = read_picture(located(files[name], self.root), name)
        return replace(resize_to(crop_to_multiple(picture, multiple), self.size), root=self.root)

    def _files(self) -> dict[str, str]:
        return pictures_of(self.folders, self.root)
