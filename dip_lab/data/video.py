"""One clip: a folder of pictures, an animation (GIF, APNG, WebP, multipage TIFF) or a video file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dip_lab.checks import integer
from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images


@dataclass
class Video(Source):
    """The frames `first`, `first + stride`, ... of the clip at `path`, `frames` of them or all; counted from 0.

    Each is shrunk to a longest side of `size` px.
    """

    path: str
    first: int
    frames: int | None
    stride: int
    size: int | None
    clean: bool = False

    @property
    def label(self) -> str:
        return self._path.resolve().name if self._path.is_dir() else self._path.stem

    def load(self) -> Images:
        """The frames as one stack, which is kept in a file if it is too large for the memory.

        Raises:
            ValueError: PyAV is not installed, no such clip, a still picture, too few frames, frames of several sizes,
                or damage.
        """
        from dip_lab.data.clips import read_clip
        from dip_lab.video.library import pyav

        pyav()  # at the end a film is written
        first, stride = integer("data.first", self.first, 0), integer("data.stride", self.stride, 1)
        last = None if self.frames is None else first + stride * integer("data.frames", self.frames, 1)
        return replace(read_clip(self._path, slice(first, last, stride), self.size), name=self.label)

    @property
    def _path(self) -> Path:
        return Path(os.path.expanduser(str(self.path)))
