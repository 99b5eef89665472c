"""A problem cut into overlapping parts, tiles of a picture or chunks of a clip, and their images blended again."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dip_lab.images import frames_buffer


@dataclass(frozen=True)
class Part:
    """A window of a clip or picture."""

    frames: slice
    rows: slice
    columns: slice

    @property
    def window(self) -> tuple[slice, slice]:
        """(rows, columns)."""
        return self.rows, self.columns


def windows(length: int, size: int | None, overlap: int, unit: int = 1) -> list[slice]:
    """Windows of at most `size` that cover `length`, evenly spread; neighbours share at least `overlap`.

    They start at multiples of `unit`. All have the same size, a multiple of `unit`, but the last one, which is longer by
    what the length lacks to a multiple of `unit`.

    >>> windows(10, 4, 1)
    [slice(0, 4, None), slice(3, 7, None), slice(6, 10, None)]
    >>> windows(10, None, 1)
    [slice(0, 10, None)]

    Raises:
        ValueError: windows of this size that start at multiples of `unit` cannot share `overlap`.
    """
    if size is None or length <= size:
        return [slice(0, length)]
    whole = size - size % unit
    step = (whole - overlap) // unit  # the largest, in units
    if step < 1:
        raise ValueError(f"tile={size}: tiles of this task start at multiples of {unit} px, so an overlap of {overlap} px "
                         f"needs tile={-(-(overlap + unit) // unit) * unit} or more")
    span = (length - whole) // unit  # from the first start to the last, in units
    count = math.ceil(span / step)
    starts = [span * i // count * unit for i in range(count + 1)] if count else [0]
    return [slice(start, start + whole) for start in starts[:-1]] + [slice(starts[-1], length)]


def parts_of(shape: tuple[int, int, int, int], chunk: int, chunk_overlap: int, tile: int | None, overlap: int,
             unit: int) -> list[Part]:
    """The parts of an image (N, C, H, W); one, if it is no larger than a chunk and a tile."""
    frames, _, height, width = shape
    return [Part(*part) for part in itertools.product(
        windows(frames, chunk, chunk_overlap), windows(height, tile, overlap, unit), windows(width, tile, overlap, unit)
    )]


def blended(parts: Sequence[Part], images: Iterable[Tensor], shape: tuple[int, int, int, int]) -> Tensor:
    """The image (N, C, H, W) whose parts are given; where they overlap, linearly from the one to the other."""
    whole = frames_buffer(*shape).zero_()
    frames, rows, columns = (
        _weights(sorted({(getattr(part, axis).start, getattr(part, axis).stop) for part in parts}), shape[dimension])
        for axis, dimension in (("frames", 0), ("rows", 2), ("columns", 3))
    )
    for part, image in zip(parts, images, strict=True):
        t, h, w = (weights[side.start, side.stop] for weights, side in
                   ((frames, part.frames), (rows, part.rows), (columns, part.columns)))
        whole[part.frames, :, part.rows, part.columns] += image * t[:, None, None, None] * h[:, None] * w
    return whole


def _weights(sides: list[tuple[int, int]], length: int) -> dict[tuple[int, int], Tensor]:
    """The weight of each place of each window along one axis; they add up to 1 at each place."""
    ramps, total = {}, torch.zeros(length, dtype=torch.float64)
    for i, (start, stop) in enumerate(sides):
        place = torch.arange(stop - start, dtype=torch.float64) + 0.5
        ramp = torch.ones_like(place)
        if i > 0:
            ramp = torch.minimum(ramp, place / max(sides[i - 1][1] - start, 0.5))
        if i + 1 < len(sides):
            ramp = torch.minimum(ramp, (stop - start - place) / max(stop - sides[i + 1][0], 0.5))
        ramps[start, stop] = ramp
        total[start:stop] += ramp
    return {side: (ramp / total[side[0] : side[1]]).float() for side, ramp in ramps.items()}
