"""A picture in memory; how it is read is in `dip_lab.data.images`, how it is made smaller in `dip_lab.data.sizes`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dip_lab.data.conventions import Conventions

MIN_SIDE = 8


@dataclass(frozen=True, eq=False)
class Images:
    """What a data source loads: one picture on the CPU, or several that belong together, such as a clip's frames.

    Attributes:
        name: The stem of the file it came from, or the name that the caller gave.
        pixels: (N, C, H, W) float32 in [0, 1]; C is 1 (grey) or 3 (RGB); N is 1 except for clips and sources.
        alpha: (1, 1, H, W) float32 in [0, 1], 0 where transparent; None if there is no such channel.
        root: where its data set is kept; its masks and ready observations are looked for there too.
        clean: It is known to have no noise, so that a task may add some.
        selection: which frames of a clip's file it holds; the same frames are read of a mask that is a clip.
        observed: (N, C, H, W) as it was measured, where the data set has it beside the target.
        conventions: what the file of the one picture says beside its pixels; empty for clips and sources.
        changes: how it was made smaller, one step after the other: each takes Images and gives Images. A mask of the
            file's own size goes the same way, see `dip_lab.data.sizes.following`.
        original: (H, W) before that; None: nothing was changed.
    """

    name: str
    pixels: torch.Tensor
    alpha: torch.Tensor | None = None
    root: str | None = None
    clean: bool = False
    selection: slice | None = None
    observed: torch.Tensor | None = None
    conventions: Conventions = Conventions()
    changes: tuple[Callable[["Images"], "Images"], ...] = ()
    original: tuple[int, int] | None = None


class PictureError(ValueError):
    """A picture that the user has to change or replace; the message is one line."""
