"""Pictures in: files, arrays and tensors become float32 in [0, 1].

Rules that a reader of the code cannot guess:

* The format is recognised from the content; PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF and PPM are opened,
  nothing else (`dip_lab.data.listing.FORMATS`).
* Transparency is left out of the pixels, which keep the colour stored in the file (no compositing), and kept
  in `Images.alpha`.
* Only the first frame of an animation or a multipage file is used, with a warning in the log.
* 16 bits a channel keep their precision; a few rare kinds of 16-bit TIFF are reduced to 8 bits (warning in the log).
* What the file says beside its pixels (profile, EXIF, depth, quality of a JPEG) is kept in `Images.conventions`.
"""

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from dip_lab.data.conventions import Conventions, announce, conventions_of
from dip_lab.data.deep import is_deep, sixteen_bits
from dip_lab.data.listing import FORMATS

log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000  # below Pillow's own warning (89 Mpx); one float32 RGB picture of this size is 768 MB
MIN_SIDE = 8
ROUNDING = 1e-6  # how far outside [0, 1] floats may lie before they count as another range


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


def read_picture(path: str | Path, name: str | None = None) -> Images:
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
    # Pillow's warnings go to the log with the file's name, except its bomb warning: MAX_PIXELS decides that here.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            picture = _decoded(path, path.stem if name is None else name)
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
    return picture


def as_images(value: object, name: str | None = None) -> Images:
    """Whatever a notebook has at hand, as `Images`.

    Args:
        value: A path; a PIL image; a numpy array (H, W) or (H, W, C) of bool, uint8, uint16 or floats
            in [0, 1]; a torch tensor (C, H, W) or (1, C, H, W) of floats in [0, 1]; `Images`, kept as they are.
            C is 1 or 3, or 2 or 4 with transparency last.
        name: Default: the file's stem, else "picture".

    Raises:
        ValueError: any other type, shape, range, NaN, or a size outside the limits of `read_picture`.
    """
    if isinstance(value, Images):
        return value if name is None else replace(value, name=name)
    if isinstance(value, str | Path):
        picture = read_picture(value, name)
        announce(value, picture)
        return picture
    name = "picture" if name is None else name
    if isinstance(value, Image.Image):
        picture = from_pil(value, name)
        announce(name, picture)
        return picture
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


def from_pil(image: Image.Image, name: str) -> Images:
    """A PIL image of any mode, upright; see `as_images`."""
    _check_size(name, *image.size)
    return _from_image(ImageOps.exif_transpose(image), image, name, name)


def _decoded(path: Path, name: str) -> Images:
    """The first frame, upright."""
    with path.open("rb") as file:
        image = Image.open(file, formats=tuple(FORMATS))
        _check_size(str(path), *image.size)
        if image.format == "PNG":
            # Pillow decodes without looking at the checksums, so a flipped bit may pass unseen. verify()
            # looks at them, but the image must be opened again afterwards.
            image.verify()
            file.seek(0)
            image = Image.open(file, formats=tuple(FORMATS))
        # MPO: a phone's JPEG with a thumbnail or a depth map behind it, which are not wanted.
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if frames > 1:
            log.warning("%s: %d frames or pages, only the first is used", path, frames)
        samples = None
        if is_deep(image):
            samples = sixteen_bits(image, file, tuple(FORMATS))
            if samples is None:
                log.warning("%s: 16 bits per channel reduced to 8; a numpy array would keep them", path)
        upright = ImageOps.exif_transpose(image) if samples is None else samples
        return _from_image(upright, image, name, str(path))


def _from_image(upright: Image.Image | np.ndarray, image: Image.Image, name: str, source: str) -> Images:
    """Pixels of a decoded PIL image of any mode, or its samples; `source` is what error messages call it."""
    if isinstance(upright, Image.Image):
        upright = _samples_of(upright, source)
    picture = _from_array(upright, name, source, "(H, W) or (H, W, C)")
    bits = 8 if upright.dtype.itemsize == 1 else 16
    return replace(picture, conventions=conventions_of(image, picture.pixels.shape[1], bits, source))


def _samples_of(image: Image.Image, source: str) -> np.ndarray:
    """(H, W), or (H, W, C) with transparency last if C is 2 or 4."""
    mode = image.mode
    if mode == "I":
        raise PictureError(f"{source}: 32-bit or signed integer samples; save it with 8 or 16 bits")
    # 16-bit and float samples are passed on as they are: Pillow's convert() would clip them at 255.
    if mode != "F" and not mode.startswith("I;16"):
        grey = mode in ("1", "L", "LA", "La")
        if image.has_transparency_data:
            image = image.convert("LA" if grey else "RGBA")
        else:
            image = image.convert("L" if grey else "RGB")
    return np.asarray(image)


def _from_array(array: np.ndarray, name: str, source: str, layout: str) -> Images:
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
    conventions = Conventions(bits=16 if array.dtype == np.uint16 else 8)
    if planes.shape[1] in (1, 3):
        return Images(name, planes, conventions=conventions)
    pixels, alpha = planes[:, :-1].contiguous(), planes[:, -1:].contiguous()
    if (alpha < 1).any():
        log.warning("%s: transparency is kept apart, transparent pixels have the colour stored in them", source)
    return Images(name, pixels, alpha, conventions=conventions)


def _checked_floats(array: np.ndarray, source: str) -> np.ndarray:
    """A float32 copy without rounding errors outside [0, 1]; refuses values that are further outside."""
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


def _too_large(source: str | Path, found: str = "") -> str:
    return f"{source}: {found}more than {MAX_PIXELS / 1e6:.0f} megapixels; crop or shrink it first"


def _unreadable(path: Path, reason: object) -> str:
    reason = " ".join(str(reason).split())
    return f"{path} cannot be read as PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF or PPM ({reason}); save it again as PNG"
