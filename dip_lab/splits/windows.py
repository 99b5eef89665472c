"""One axis cut into overlapping windows, and images blended again where their windows overlap."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dip_lab.frames import ALL, frames_buffer


@dataclass(frozen=True)
class Window:
    """A part of an image (N, C, H, W)."""

    # A slice is not hashable, so a dataclass does not take it as a plain default.
    frames: slice = field(default_factory=lambda: ALL)
    rows: slice = field(default_factory=lambda: ALL)
    columns: slice = field(default_factory=lambda: ALL)


def windows(length: int, size: int | None, overlap: int, unit: int = 1) -> list[slice]:
    """Windows of at most `size` that cover `length`, evenly spread; neighbours share at least `overlap`.

    They start at multiples of `unit`. All have the same size, a multiple of `unit`, except the last one: it also takes
    the rest of the length, which is less than a unit.

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
        raise ValueError(f"tile={size}: tiles of this task start at multiples of {unit} px, so an overlap of "
                         f"{overlap} px needs tile={-(-(overlap + unit) // unit) * unit} or more")
    span = (length - whole) // unit  # from the first start to the last, in units
    count = math.ceil(span / step)
    starts = [span * i // count * unit for i in range(count + 1)] if count else [0]
    return [slice(start, start + whole) for start in starts[:-1]] + [slice(starts[-1], length)]


def blended(windows: Sequence[Window], images: Iterable[Tensor], shape: tuple[int, int, int, int]) -> Tensor:
    """The image (N, C, H, W) of these windows; where they overlap, it goes linearly from one to the next."""
    whole = frames_buffer(*shape).zero_()
    axes = (("frames", shape[0]), ("rows", shape[2]), ("columns", shape[3]))
    weights = {axis: _weights(sorted({getattr(window, axis).indices(length)[:2] for window in windows}), length)
               for axis, length in axes}
    for window, image in zip(windows, images, strict=True):
        t, h, w = (weights[axis][getattr(window, axis).indices(length)[:2]] for axis, length in axes)
        whole[window.frames, :, window.rows, window.columns] += image * t[:, None, None, None] * h[:, None] * w
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
