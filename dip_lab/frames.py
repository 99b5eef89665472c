"""Stacks of images (N, C, H, W) of any length: a clip's frames, the sources of a fusion, the tiles of a picture."""

import math
import shutil
import tempfile
from collections.abc import Iterable

import torch

ALL = slice(None)
IN_MEMORY = 256 * 2**20  # bytes; a longer clip is kept in a file


def frames_buffer(frames: int, channels: int, height: int, width: int) -> torch.Tensor:
    """An empty (N, C, H, W) float32 tensor; a large one is a temporary file, so that a clip may have any length."""
    shape = frames, channels, height, width
    count = math.prod(shape)
    if 4 * count <= IN_MEMORY:
        return torch.empty(shape)
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < 4 * count:  # otherwise a write that does not fit ends the process
        raise ValueError(f"{folder} has no room for {frames} frames of {width} x {height} px "
                         f"({count / 2**28:.0f} GiB): take fewer (data.frames), smaller ones (data.size), "
                         "or set TMPDIR to another disk")
    with tempfile.NamedTemporaryFile(prefix="dip_lab_") as file:  # the name goes at once, the tensor keeps the content
        file.truncate(4 * count)
        return torch.from_file(file.name, shared=True, size=count).reshape(shape)


def stacked(frames: Iterable[torch.Tensor], count: int) -> torch.Tensor:
    """`count` pictures (1, C, H, W) as one (N, C, H, W), in a `frames_buffer`; a single picture as it is."""
    whole = None
    for index, frame in enumerate(frames):
        if count == 1:
            return frame
        if whole is None:
            whole = frames_buffer(count, *frame.shape[1:])
        whole[index] = frame[0]
    return whole


def poster(pixels: torch.Tensor) -> torch.Tensor:
    """The picture (1, C, H, W) that stands for a clip: its middle frame. A single picture stands for itself."""
    middle = len(pixels) // 2
    return pixels[middle : middle + 1]


def has_colours(channels: int) -> bool:
    """Whether so many channels are a grey picture or one of RGB, which a picture file can hold."""
    return channels in (1, 3)


def visible(pixels: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) as a person can see it: the mean of the channels, (N, 1, H, W), unless it is grey or RGB."""
    return pixels if has_colours(pixels.shape[1]) else pixels.mean(1, keepdim=True)
