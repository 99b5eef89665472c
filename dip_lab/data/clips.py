"""The frames of clips: a folder of pictures, an animation (GIF, APNG, WebP, multipage TIFF) or a video file."""

import logging
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dip_lab.data.images import (
    MAX_PIXELS,
    Images,
    PictureError,
    as_images,
    check_picture,
    check_size,
    from_pil,
    read_picture,
)
from dip_lab.data.listing import FORMATS, all_pictures_in
from dip_lab.data.sizes import resize_to
from dip_lab.frames import frames_buffer
from dip_lab.video.library import pyav

log = logging.getLogger(__name__)
LIMITS = {"max_pixels": str(MAX_PIXELS)}  # of FFmpeg, which makes room for a frame before anyone sees its size


def read_clip(path: str | Path, selection: slice, size: int | None = None) -> Images:
    """The frames of `selection` as one stack, (T, C, H, W); grey frames among coloured ones become RGB.

    What the files say beside their pixels is left out, with one line in the log.
    """
    count, pixels = count_frames(path, selection), None
    for index, small in enumerate(frames_of(path, selection, size)):
        planes = small.pixels[0]
        if pixels is None:
            pixels = frames_buffer(count, *planes.shape)
        elif len(planes) > pixels.shape[1]:  # the first with colour
            grey, pixels = pixels, frames_buffer(count, *planes.shape)
            pixels[:index] = grey[:index]
        pixels[index] = planes
    if lost := small.conventions.all:
        log.info("%s: not kept in the restored frames: %s", path, ", ".join(lost))
    return Images(Path(path).stem, pixels, selection=selection, changes=small.changes, original=small.original)


def is_clip(path: str | Path) -> bool:
    """Whether `path` is what `frames_of` reads: a folder, an animation or a file that is not a picture."""
    path = Path(os.path.expanduser(path))
    return path.is_dir() or (path.is_file() and _pages(path) != 1)


def count_frames(path: str | Path, selection: slice) -> int:
    """How many frames `selection` takes; a video file is decoded to count them if the selection has no end."""
    path = _there(path)
    if path.is_dir():
        return len(all_pictures_in(path)[selection])
    pages = _pages(path)
    if pages is None and selection.stop is None:
        pages = sum(1 for _ in _decoded(path))
    return len(range(*selection.indices(selection.stop if pages is None else pages)))


def frames_of(path: str | Path, selection: slice, size: int | None = None) -> Iterator[Images]:
    """The frames of a clip, one after the other, all of one size, each (1, C, H, W); only one is in memory.

    Frames of a folder come in natural order: 2.png before 10.png. `selection` counts from 0 with a positive step. Each
    frame is shrunk to a longest side of `size` px.

    Raises:
        ValueError: there is no such file, it is a still picture or damaged, its frames have different sizes, or there
            are fewer than are selected.
    """
    path = _there(path)
    count, sides, reference = 0, None, ""
    for frame in _frames(path, selection, size):
        count += 1
        found = frame.original or tuple(frame.pixels.shape[-2:])
        if sides is None:
            sides, reference = found, frame.name
        if found != sides:
            raise PictureError(f"{path}: {frame.name} has {_in_words(found)}, but {reference} "
                               f"{_in_words(sides)}: the frames of a clip need one size")
        yield frame
    stride = f"data.first={selection.start} and data.stride={selection.step}"
    if not count:
        raise PictureError(f"data.first={selection.start}: {path} ends before that frame (counted from 0): "
                           "take a smaller one")
    if selection.stop is not None and count < (wanted := len(range(*selection.indices(selection.stop)))):
        raise PictureError(f"data.frames={wanted}: {path} has {count} from {stride} on: ask for {count}, "
                           "or null for all")


def _there(path: str | Path) -> Path:
    path = Path(os.path.expanduser(path))
    if not path.exists():
        raise PictureError(f"no such file or folder: {path} (relative paths start at {Path.cwd()})")
    return path


def _frames(path: Path, selection: slice, size: int | None) -> Iterator[Images]:
    if path.is_dir():
        names = sorted(all_pictures_in(path), key=_natural)
        if len(names) == 1:
            raise PictureError(f"{path} holds one picture, not a clip: use data=file data.path={path / names[0]}")
        return (read_picture(path / name, name, size) for name in names[selection])
    pages = _pages(path)
    if pages == 1:
        raise PictureError(f"{path} is one picture, not a clip: use data=file data.path={path}")
    if pages is not None:
        return _animation(path, range(*selection.indices(pages)), size)
    numbered = islice(enumerate(_decoded(path)), selection.start, selection.stop, selection.step)
    return (resize_to(as_images(array, f"frame {index}"), size) for index, array in numbered)


def _animation(path: Path, indices: range, size: int | None) -> Iterator[Images]:
    """Each frame as a person sees it: Pillow draws the changes of a GIF over what was there before."""
    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            for index in indices:
                image.seek(index)
                check_picture(f"{path}: frame {index}", image, size)
                plain = image.mode in ("1", "L", "RGB") or image.mode.startswith(("I", "F"))
                grey = "L" if image.mode in ("LA", "La") else "RGB"
                yield from_pil(image.copy() if plain else image.convert(grey), f"frame {index}", size)
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(_unreadable(path, error)) from error


def _decoded(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video file as a phone shows them, upright; uint8 (H, W), or (H, W, 3) if there is colour."""
    av = pyav()
    try:
        with av.open(str(path), stream_options=[LIMITS] * 8) as file:
            stream = file.streams.video[0]
            check_size(str(path), stream.width, stream.height)
            stream.codec_context.options = LIMITS
            for frame in file.decode(stream):
                check_size(str(path), frame.width, frame.height)
                kind = "gray" if frame.format.name.startswith("gray") else "rgb24"
                yield np.rot90(frame.to_ndarray(format=kind), round(frame.rotation / 90))
    except PictureError:
        raise
    except Exception as error:  # errors of FFmpeg, and of a container without a video
        raise PictureError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{path} cannot be read as a clip ({reason}): save its frames as PNG in a folder, data.path=folder"


def _natural(name: str) -> tuple[list[str | int], str]:
    """A sorting key that orders numbers by value; the order of 1.png and 01.png is fixed too."""
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if part.isdecimal() else part for part in parts], name


def _in_words(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} px"


def _pages(path: Path) -> int | None:
    """How many frames a picture file has; None if Pillow cannot open it, so that it may be a video."""
    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            return getattr(image, "n_frames", 1)
    except UnidentifiedImageError:
        return None
    except Exception as error:  # damage makes Pillow raise nearly anything
        raise PictureError(_unreadable(path, error)) from error
