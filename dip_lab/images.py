"""Pictures in and out: files, arrays and tensors become float32 in [0, 1]; tensors become 8-bit PNG.

Rules that a reader of the code cannot guess:

* The format is recognised from the content; PNG, JPEG, WebP, BMP, TIFF and GIF are opened, nothing else.
* Transparency is left out of the pixels, which keep the colour stored in the file (no compositing), and kept
  in `Picture.alpha`.
* Of an animation or a multipage file the first frame is taken, with a warning in the log.
* 16-bit colour is reduced to 8 bits by Pillow (warning in the log); 16-bit grey keeps its precision.
"""

import io
import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 64_000_000  # below Pillow's own warning (89 Mpx); one float32 RGB picture of this size is 768 MB
MIN_SIDE = 8
ROUNDING = 1e-6  # how far outside [0, 1] floats may lie before it is taken for another range


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture on the CPU, or several that belong together: the frames of a clip, the sources of a fusion.

    Attributes:
        name: The stem of the file it came from, or what the caller said.
        pixels: (N, C, H, W) float32 in [0, 1]; C is 1 (grey) or 3 (RGB); N is 1 but for clips and sources.
        alpha: (1, 1, H, W) float32 in [0, 1], 0 where transparent; None if there is no such channel.
        root: where its data set lies; its masks and ready observations are looked for there too.
        selection: which frames of a clip's file it holds; a mask that is a clip is read alike.
    """

    name: str
    pixels: torch.Tensor
    alpha: torch.Tensor | None = None
    root: str | None = None
    selection: slice | None = None


IN_MEMORY = 256 * 2**20  # bytes; a longer clip lies in a file


def frames_buffer(frames: int, channels: int, height: int, width: int) -> torch.Tensor:
    """An empty (N, C, H, W) float32 tensor; a large one is a temporary file, so that a clip may have any length."""
    shape = frames, channels, height, width
    count = math.prod(shape)
    if 4 * count <= IN_MEMORY:
        return torch.empty(shape)
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < 4 * count:  # else a write into the file that does not fit ends the process
        raise ValueError(f"{folder} has no room for {frames} frames of {width} x {height} px "
                         f"({count / 2**28:.0f} GiB): take fewer (data.frames), smaller ones (data.size), "
                         "or set TMPDIR to another disk")
    with tempfile.NamedTemporaryFile(prefix="dip_lab_") as file:  # its name goes at once, the tensor keeps its content
        file.truncate(4 * count)
        return torch.from_file(file.name, shared=True, size=count).reshape(shape)


def stacked(frames: Iterable[torch.Tensor], count: int) -> torch.Tensor:
    """The (N, C, H, W) of `count` pictures (1, C, H, W), in a `frames_buffer`; a single one as it is."""
    whole = None
    for index, frame in enumerate(frames):
        if count == 1:
            return frame
        if whole is None:
            whole = frames_buffer(count, *frame.shape[1:])
        whole[index] = frame[0]
    return whole


class PictureError(ValueError):
    """A picture that the user has to change or replace; the message is one line."""


def read_picture(path: str | Path, name: str | None = None) -> Picture:
    """Reads a picture file, upright (EXIF rotation applied), as grey or RGB.

    The size is checked on the header, before anything is decoded.

    Raises:
        ValueError: no such file, a folder, not a picture, damaged, too large (`MAX_PIXELS`), a side under
            `MIN_SIDE`, float samples outside [0, 1].
    """
    path = Path(os.path.expanduser(path))  # leaves the home of an unknown user as it is
    if path.is_dir():
        raise PictureError(f"{path} is a folder, not a picture: name a file in it, or use data=folder")
    if not path.is_file():
        raise PictureError(f"no such file: {path} (relative paths start at {Path.cwd()})")
    # Pillow's warnings go to the log with the file's name; its bomb warning is ours to decide (MAX_PIXELS).
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            image = _decoded(path)
        except PictureError:
            raise
        except Image.DecompressionBombError as error:
            raise PictureError(_too_large(path)) from error
        except UnidentifiedImageError as error:
            reason = "another format or damaged at the start" if path.stat().st_size else "the file is empty"
            raise PictureError(_unreadable(path, reason)) from error
        except OSError as error:
            raise PictureError(_unreadable(path, error.strerror or error)) from error
        # A damaged file makes Pillow's parsers raise nearly anything: SyntaxError, struct.error, KeyError ...
        except Exception as error:
            raise PictureError(_unreadable(path, error or type(error).__name__)) from error
    for warning in caught:
        if not issubclass(warning.category, Image.DecompressionBombWarning | ResourceWarning):
            log.warning("%s: %s", path, " ".join(str(warning.message).split()))
    return _from_image(image, path.stem if name is None else name, str(path))


def as_picture(value: object, name: str | None = None) -> Picture:
    """Whatever a notebook has at hand, as a `Picture`.

    Args:
        value: A path; a PIL image; a numpy array (H, W) or (H, W, C) of bool, uint8, uint16 or floats
            in [0, 1]; a torch tensor (C, H, W) or (1, C, H, W) of floats in [0, 1]; a `Picture`, kept.
            C is 1 or 3, or 2 or 4 with transparency last.
        name: Default: the file's stem, else "picture".

    Raises:
        ValueError: any other type, shape, range, NaN, or a size outside the limits of `read_picture`.
    """
    if isinstance(value, Picture):
        return value if name is None else replace(value, name=name)
    if isinstance(value, str | Path):
        return read_picture(value, name)
    name = "picture" if name is None else name
    if isinstance(value, Image.Image):
        _check_size(name, *value.size)
        return _from_image(ImageOps.exif_transpose(value), name, name)
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point():
            raise PictureError(
                f"{name}: tensor of {value.dtype}; give floats in [0, 1], e.g. x.float() / 255"
            )
        if value.ndim not in (3, 4) or (value.ndim == 4 and value.shape[0] != 1):
            raise PictureError(
                f"{name}: tensor of shape {tuple(value.shape)}; give (C, H, W) or (1, C, H, W)"
            )
        planes = value.detach().to("cpu", torch.float32).reshape(value.shape[-3:])
        return _from_array(planes.permute(1, 2, 0).numpy(), name, name, "(C, H, W)")
    if isinstance(value, np.ndarray):
        return _from_array(value, name, name, "(H, W) or (H, W, C)")
    raise PictureError(
        f"{name}: cannot make a picture of {type(value).__name__}; "
        "give a path, a PIL image, a numpy array or a torch tensor"
    )


def resize_to(picture: Picture, size: int | None) -> Picture:
    """Shrinks to a longest side of `size` px with antialiased Lanczos (equal to Pillow's); never enlarges.

    A pixel of the small alpha is the least of those it covers: nothing becomes known that was not.

    >>> resize_to(Picture("grey", torch.full((1, 1, 32, 64), 0.5)), 16).pixels.shape
    torch.Size([1, 1, 8, 16])
    """
    _check_target(size)
    height, width = picture.pixels.shape[-2:]
    longest = max(height, width)
    if size is None or longest <= size:
        return picture
    sides = (max(1, round(height * size / longest)), max(1, round(width * size / longest)))
    if min(sides) < MIN_SIDE:
        raise PictureError(
            f"{picture.name}: data.size={size} makes {width} x {height} px into {sides[1]} x {sides[0]}; "
            f"every side must keep {MIN_SIDE} px: take a larger data.size"
        )
    pixels = F.interpolate(picture.pixels, size=sides, mode="lanczos", antialias=True).clamp_(0, 1)
    alpha = None if picture.alpha is None else -F.adaptive_max_pool2d(-picture.alpha, sides)
    return Picture(picture.name, pixels, alpha)


def centre_crop(picture: Picture, size: int | None, centre: tuple[float, float] = (0.5, 0.5)) -> Picture:
    """Cuts out `size` x `size` px; a side that is shorter stays whole, None changes nothing.

    Args:
        picture: What to crop.
        size: Side in px.
        centre: Middle of the cut as fractions of (height, width); moved inwards if it would stick out.
    """
    _check_target(size)
    if size is None:
        return picture
    height, width = picture.pixels.shape[-2:]
    top, left = (
        max(0, min(round(middle * side - size / 2), side - size))
        for middle, side in zip(centre, (height, width), strict=True)
    )
    window = (..., slice(top, top + size), slice(left, left + size))
    alpha = None if picture.alpha is None else picture.alpha[window].contiguous()
    return Picture(picture.name, picture.pixels[window].contiguous(), alpha)


def crop_to_multiple(picture: Picture, multiple: int) -> Picture:
    """Cuts the least off around the middle that makes both sides multiples of `multiple` px.

    >>> crop_to_multiple(Picture("grey", torch.full((1, 1, 40, 70), 0.5)), 32).pixels.shape
    torch.Size([1, 1, 32, 64])
    """
    height, width = picture.pixels.shape[-2:]
    if min(height, width) < multiple:
        raise PictureError(f"{picture.name}: {width} x {height} px is less than data.multiple={multiple}")
    rows, columns = (slice(side % multiple // 2, side % multiple // 2 + side // multiple * multiple)
                     for side in (height, width))
    alpha = None if picture.alpha is None else picture.alpha[..., rows, columns].contiguous()
    return Picture(picture.name, picture.pixels[..., rows, columns].contiguous(), alpha)


def poster(pixels: torch.Tensor) -> torch.Tensor:
    """The picture (1, C, H, W) that stands for a clip: its middle frame; a picture itself."""
    middle = len(pixels) // 2
    return pixels[middle : middle + 1]


def to_uint8(pixels: torch.Tensor) -> np.ndarray:
    """(1, C, H, W) in [0, 1] to uint8 (H, W) if C is 1, else (H, W, C); clamped, and rounded, not cut off.

    >>> to_uint8(torch.tensor([[[[-1.0, 0.499, 0.999, 2.0]]]]))
    array([[  0, 127, 255, 255]], dtype=uint8)
    """
    bytes_ = pixels.detach()[0].float().clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    return bytes_[0].numpy() if bytes_.shape[0] == 1 else bytes_.permute(1, 2, 0).contiguous().numpy()


def encode_png(pixels: torch.Tensor) -> bytes:
    """(1, C, H, W) in [0, 1] as an 8-bit PNG: grey, RGB or RGBA for C = 1, 3, 4."""
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def _decoded(path: Path) -> Image.Image:
    """The first frame, upright and detached from the file."""
    with path.open("rb") as file:
        image = Image.open(file, formats=FORMATS)
        _check_size(str(path), *image.size)
        if image.format == "PNG":
            # Pillow decodes without looking at the checksums, so a flipped bit may pass unseen; verify()
            # looks, and uses the image up.
            image.verify()
            file.seek(0)
            image = Image.open(file, formats=FORMATS)
        # MPO: a phone's JPEG with a thumbnail or a depth map behind it; nobody means those.
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if frames > 1:
            log.warning("%s: %d frames or pages, only the first is used", path, frames)
        if image.format in ("PNG", "TIFF") and image.mode in ("RGB", "RGBA", "LA"):
            if any(";16" in str(tile[3]) for tile in image.tile):
                log.warning("%s: 16 bits per channel reduced to 8; a numpy array would keep them", path)
        image.load()
        return ImageOps.exif_transpose(image)


def _from_image(image: Image.Image, name: str, source: str) -> Picture:
    """A decoded PIL image of any mode; `source` is what error messages call it."""
    mode = image.mode
    if mode == "I":
        raise PictureError(f"{source}: 32-bit or signed integer samples; save it with 8 or 16 bits")
    # 16-bit and float samples go as they are: Pillow's convert() would clip them at 255.
    if mode != "F" and not mode.startswith("I;16"):
        grey = mode in ("1", "L", "LA", "La")
        if image.has_transparency_data:
            image = image.convert("LA" if grey else "RGBA")
        else:
            image = image.convert("L" if grey else "RGB")
    return _from_array(np.asarray(image), name, source, "(H, W) or (H, W, C)")


def _from_array(array: np.ndarray, name: str, source: str, layout: str) -> Picture:
    """(H, W) or (H, W, C) samples, transparency last if C is 2 or 4; `layout` is for the error message."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise PictureError(f"{source}: shape {array.shape}; give {layout} with C = 1 to 4")
    _check_size(source, array.shape[1], array.shape[0])
    if array.dtype == bool:
        samples = array.astype(np.float32)
    elif array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        samples = array.astype(np.float32) / np.float32(255 if array.dtype.itemsize == 1 else 65535)
    elif array.dtype.kind == "f":
        samples = _checked_floats(array, source)
    else:
        raise PictureError(f"{source}: samples of {array.dtype}; give uint8, uint16 or floats in [0, 1]")
    planes = torch.from_numpy(samples).permute(2, 0, 1)[None].contiguous()
    if planes.shape[1] in (1, 3):
        return Picture(name, planes)
    pixels, alpha = planes[:, :-1].contiguous(), planes[:, -1:].contiguous()
    if (alpha < 1).any():
        log.warning("%s: transparency is left out, transparent pixels keep the colour stored in them", source)
    return Picture(name, pixels, alpha)


def _checked_floats(array: np.ndarray, source: str) -> np.ndarray:
    """A float32 copy clipped of rounding errors; refuses what is not in [0, 1]."""
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise PictureError(f"{source}: {bad} samples are NaN or infinite; replace them by numbers in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise PictureError(f"{source}: float samples from {low:.6g} to {high:.6g}; scale them to [0, 1]")
    return np.clip(array, 0, 1).astype(np.float32)


def _check_size(source: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(_too_large(source, f"{width} x {height} px, "))
    if min(width, height) < MIN_SIDE:
        raise PictureError(
            f"{source}: {width} x {height} px (width x height); every side must have at least {MIN_SIDE} px: "
            "take a larger picture"
        )


def _check_target(size: int | None) -> None:
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < MIN_SIDE):
        raise PictureError(f"data.size={size}: give a whole number of at least {MIN_SIDE} px, or null")


def _too_large(source: str | Path, found: str = "") -> str:
    return f"{source}: {found}more than {MAX_PIXELS / 1e6:.0f} megapixels; crop or shrink it first"


def _unreadable(path: Path, reason: object) -> str:
    reason = " ".join(str(reason).split())
    return f"{path} cannot be read as PNG, JPEG, WebP, BMP, TIFF or GIF ({reason}); save it anew as 8-bit PNG"
