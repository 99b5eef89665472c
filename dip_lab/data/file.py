"""One picture from a file."""

from dataclasses import dataclass

from dip_lab.images import Picture, read_picture, resize_to


@dataclass
class File:
    """The picture at `path` (relative to where the command was typed), longest side shrunk to `size` px."""

    path: str
    size: int | None = None

    def load(self) -> Picture:
        """Raises ValueError if the file cannot be used, see `dip_lab.images.read_picture`."""
        return resize_to(read_picture(str(self.path)), self.size)
