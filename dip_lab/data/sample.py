"""Pictures that come with scikit-image, so that the first command needs no data and no network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dip_lab.data.listing import picked, pictures_in
from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images

# Where to crop, as fractions of (height, width), if the subject is not in the middle.
CENTRES = {"astronaut": (0.25, 0.44)}


@dataclass
class Sample(Source):
    """The picture `name` of scikit-image, a crop of `size` x `size` px around its subject, whole if None."""

    name: str
    size: int | None

    @property
    def label(self) -> str:
        return Path(str(self.name)).stem

    def load(self) -> Images:
        """Raises ValueError for an unknown name, listing those on disk."""
        from dip_lab.data.images import read_picture
        from dip_lab.data.sizes import centre_crop

        # Not skimage.data: importing it takes a second and some of its pictures are downloaded.
        package = find_spec("skimage")
        if package is None or package.origin is None:
            raise ValueError("data=sample needs scikit-image: pip install it, or use data=file data.path=...")
        folder = Path(package.origin).parent / "data"
        bundled = [name for name in pictures_in(folder) if name.endswith((".png", ".jpg"))]
        stems = [Path(name).stem for name in bundled]
        name = str(self.name)
        picture = read_picture(folder / bundled[stems.index(picked(stems, name, "the bundled samples"))])
        return centre_crop(picture, self.size, CENTRES.get(name, (0.5, 0.5)))
