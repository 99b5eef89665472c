"""Several registered pictures of one scene."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images

log = logging.getLogger(__name__)


@dataclass
class Sources(Source):
    """The pictures at `paths` as one: pixels (S, C, H, W), longest side shrunk to `size` px.

    Their name is the common beginning of the files' names. A grey picture next to a coloured one gets three equal
    channels. A profile that all of them have, and 16 bits, are kept; what else is left out is said in the log.
    """

    paths: list[str]
    size: int | None

    @property
    def label(self) -> str:
        return common_name(self._paths())

    def load(self) -> Images:
        """Raises ValueError if there are fewer than two, one cannot be read, or they are not of one size."""
        import torch

        from dip_lab.data.conventions import Conventions
        from dip_lab.data.images import Images, read_picture

        paths = self._paths()
        if len(paths) < 2:
            raise ValueError(f"data.paths=[{','.join(paths)}]: give two or more pictures, data.paths=[a.png,b.png]")
        pictures = [read_picture(path, size=self.size) for path in paths]
        sides = [picture.original or tuple(picture.pixels.shape[-2:]) for picture in pictures]
        (first, *others), (height, width) = zip(paths, sides, strict=True), sides[0]
        for path, (rows, columns) in others:
            if (rows, columns) != (height, width):
                raise ValueError(f"data.paths: {first[0]} is {width} x {height} px and {path} is {columns} x {rows} px "
                                 "(width x height): register them, and crop them to one size")
        pixels = [picture.pixels for picture in pictures]
        channels = max(each.shape[1] for each in pixels)
        said = [picture.conventions for picture in pictures]
        icc = said[0].icc if len({each.icc for each in said}) == 1 else None
        lost = dict.fromkeys(word for each in said for word in replace(each, icc=None if icc else each.icc, bits=8).all)
        if lost:
            log.info("%s: not kept in the fused picture: %s", self.label, ", ".join(lost))
        return Images(self.label, torch.cat([each.expand(-1, channels, -1, -1) for each in pixels]),
                      conventions=Conventions(icc, bits=max(each.bits for each in said)))

    def _paths(self) -> list[str]:
        return [str(path) for path in self.paths] if isinstance(self.paths, (list, tuple)) else [str(self.paths)]


def common_name(paths: list[str]) -> str:
    """The common beginning of the stems, without separators at its end; the first stem if there is none.

    >>> common_name(["far/lytro-01-A.jpg", "near/lytro-01-B.jpg"])
    'lytro-01'
    """
    stems = [Path(path).stem for path in paths]
    return os.path.commonprefix(stems).rstrip("-_ .") or stems[0]
