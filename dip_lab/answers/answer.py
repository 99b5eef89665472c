"""The files that hold the answer: a PNG, and beside it the format that was asked for."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dip_lab.answers.format import Format
from dip_lab.answers.png import Png
from dip_lab.data.conventions import Conventions
from dip_lab.frames import has_colours

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Answer:
    """How the answer is written: a format, bound to the picture that is restored.

    Attributes:
        format: the one that was asked for.
        conventions: those of the picture's file.
        alpha: (1, 1, H, W) in [0, 1], the picture's transparency that the answer gets back; None: it is opaque.
    """

    format: Format
    conventions: Conventions = Conventions()
    alpha: Tensor | None = None

    def check(self, channels: int, height: int, width: int) -> None:
        """Look at the answer's shape before anything is fitted; say what the format cannot keep.

        Raises:
            ValueError: the format cannot hold a picture of this shape.
        """
        name, longest = type(self.format).__name__.lower(), self.format.longest
        if not has_colours(channels):
            if not isinstance(self.format, Png):
                raise ValueError(f"answer={name}: the answer has {channels} channels, which no picture holds: leave "
                                 "answer=png, all of them are in the array .npy beside it")
            log.info("the answer has %d channels, which no picture holds: all of them are in an array .npy, the PNG "
                     "shows their mean", channels)
        if longest is not None and max(height, width) > longest:
            raise ValueError(f"answer={name}: the answer has {width} x {height} px, but this format holds at most "
                             f"{longest} px a side: choose answer=tiff or png16")
        if self.conventions.bits == 16 and self.format.bits == 8:
            beside = "" if isinstance(self.format, Png) else ", the PNG beside it keeps the picture's 16"
            log.info("answer=%s: 8 bits a channel%s", name, beside)
        if self.alpha is not None and not self.format.transparent and bool((self.alpha < 1).any()):
            log.info("answer=%s: this format has no transparency, the PNG beside it keeps the picture's", name)

    def files(self, image: Tensor) -> Iterator[tuple[str, bytes]]:
        """(suffix, content) of the files to write for a picture (1, C, H, W) in [0, 1]; the PNG is the first."""
        formats = {each.suffix: each for each in (Png(None), self.format)}  # png16 takes the place of the first
        conventions = self.conventions.fitting(image.shape[1])
        for suffix, each in formats.items():
            yield suffix, each.encode(self._with_alpha(image) if each.transparent else image, conventions)

    def info(self, channels: int) -> Mapping[str, bytes]:
        """What a PIL image of so many channels has beside its pixels, under Pillow's own keys."""
        kept = self.conventions.fitting(channels)
        return {key: value for key, value in (("icc_profile", kept.icc), ("exif", kept.exif)) if value}

    def file(self, stem: Path) -> Path:
        """The file that was asked for; `stem` is its folder and the answer's name."""
        return self.format.path(stem)

    def _with_alpha(self, image: Tensor) -> Tensor:
        """With transparency as the last channel, if the picture had it; enlarged where the answer is larger."""
        (height, width), (channels, rows, columns) = image.shape[-2:], image.shape[1:]
        if self.alpha is None or channels not in (1, 3):
            return image
        alpha, (own_rows, own_columns) = self.alpha, self.alpha.shape[-2:]
        if rows < own_rows or columns < own_columns:
            return image
        if (rows, columns) != (own_rows, own_columns):
            alpha = F.interpolate(alpha, (height, width), mode="bicubic").clamp(0, 1)
        return torch.cat([image, alpha.to(image)], 1)
