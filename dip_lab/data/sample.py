"""Pictures that come with scikit-image, so that the first command needs no data and no network."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dip_lab.data.listing import picked, pictures_in
from dip_lab.images import Picture, centre_crop, read_picture

# Where to crop, as fractions of (height, width), if the subject is not in the middle.
CENTRES = {"astronaut": (0.25, 0.44)}


@dataclass
class Sample:
    """The picture `name` of scikit-image, a crop of `size` x `size` px around its subject, whole if None."""

    name: str
    size: int | None

    def load(self) -> Picture:
        """Raises ValueError for an unknown name, listing those on disk."""
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
