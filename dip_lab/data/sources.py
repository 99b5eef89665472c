"""Several registered pictures of one scene."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from dip_lab.images import Picture, read_picture, resize_to


@dataclass
class Sources:
    """The pictures at `paths` as one: pixels (S, C, H, W), longest side shrunk to `size` px.

    Named by what the names of the files begin with alike. A grey picture beside a coloured one has three equal
    channels; transparency is left out.
    """

    paths: list[str]
    size: int | None

    def load(self) -> Picture:
        """Raises ValueError if there are fewer than two, one cannot be read, or they are not of one size."""
        paths = [str(path) for path in self.paths] if isinstance(self.paths, (list, tuple)) else [str(self.paths)]
        if len(paths) < 2:
            raise ValueError(f"data.paths=[{','.join(paths)}]: give two or more pictures, data.paths=[a.png,b.png]")
        pictures = [read_picture(path) for path in paths]
        (first, *others), (height, width) = zip(paths, pictures, strict=True), pictures[0].pixels.shape[-2:]
        for path, picture in others:
            rows, columns = picture.pixels.shape[-2:]
            if (rows, columns) != (height, width):
                raise ValueError(f"data.paths: {first[0]} is {width} x {height} px and {path} is {columns} x {rows} px "
                                 "(width x height): register them, and crop them to one size")
        pixels = [resize_to(picture, self.size).pixels for picture in pictures]
        channels = max(each.shape[1] for each in pixels)
        return Picture(common_name(paths), torch.cat([each.expand(-1, channels, -1, -1) for each in pixels]))


def common_name(paths: list[str]) -> str:
    """What the stems begin with alike, without separators at its end; the first stem where that is nothing.

    >>> common_name(["far/lytro-01-A.jpg", "near/lytro-01-B.jpg"])
    'lytro-01'
    """
    stems = [Path(path).stem for path in paths]
    return os.path.commonprefix(stems).rstrip("-_ .") or stems[0]
