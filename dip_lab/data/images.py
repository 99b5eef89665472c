"""Pictures in: files, arrays and tensors become float32 in [0, 1].

Rules that a reader of the code cannot guess:

* The format is recognised from the content; PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF and PPM are opened,
  nothing else (`dip_lab.data.listing.FORMATS`).
* Transparency is left out of the pixels, which keep the colour stored in the file (no compositing), and kept
  in `Images.alpha`.
* Only the first frame of an animation or a multipage file is used, with a warning in the log.
* 16 bits a channel keep their precision; a few rare kinds of 16-bit TIFF are reduced to 8 bits (warning in the log).
* A picture is converted a few rows at a time: in memory are what Pillow decodes (`_decoded_bytes`), and the pixels as
  they are given back. With a `size`, the rows are shrunk as they are read, to exactly what `resize_to` makes of the
  whole picture. What would still take more than `MAX_BYTES` is refused before anything is decoded.
* What the file says beside its pixels (profile, EXIF, depth, quality of a JPEG) is kept in `Images.conventions`.
"""

import contextlib
import ctypes
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from dip_lab.data.conventions import Conventions, announce, conventions_of
from dip_lab.data.deep import is_deep, raw_mode, sixteen_bits
from dip_lab.data.listing import FORMATS
from dip_lab.data.picture import MIN_SIDE, Images, PictureError
from dip_lab.data.samples import Samples, rows_of, upright
from dip_lab.data.sizes import resize_to, shrunk, shrunk_alpha, shrunk_sides

log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000  # below Pillow's own warning (89 Mpx); one float32 RGB picture of this size is 768 MB
MAX_BYTES = 1_000_000_000  # of one picture while it is read
GREY = ("1", "L", "LA", "La", "F")  # modes of Pillow
ROUNDING = 1e-6  # how far outside [0, 1] floats may lie before they count as another range


def silence_libtiff() -> None:
    """Keep the libtiff inside Pillow from writing to the terminal, in the whole process.

    What it says of a damaged file, Pillow raises as an error. No effect where it cannot be reached.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


silence_libtiff()


def same(pixels: torch.Tensor) -> torch.Tensor:
    """All that there is."""
    return pixels


def mean(pixels: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, 1, H, W)."""
    return pixels.mean(1, keepdim=True)


def read_picture(path: str | Path, name: str | None = None, size: int | None = None,
                 keep: Callable[[torch.Tensor], torch.Tensor] = same) -> Images:
    """Reads a picture file, upright (EXIF rotation applied), as grey or RGB.

    The size is checked on the header, before anything is decoded.

    Args:
        path: the file.
        name: Default: its stem.
        size: as in `dip_lab.data.sizes.resize_to`; a large picture then takes little memory.
        keep: what becomes of the colours of some rows, (1, C, h, W) -> (1, c, h, W) with c at most C: of a mask, their
            mean.

    Raises:
        ValueError: no such file, a folder, not a picture, damaged, too large (`MAX_PIXELS`, `MAX_BYTES`), a side
            under `MIN_SIDE`, float samples outside [0, 1].
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
            picture = _decoded(path, path.stem if name is None else name, size, keep)
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
    said = (" ".join(str(warning.message).split()) for warning in caught
            if not issubclass(warning.category, Image.DecompressionBombWarning | ResourceWarning))
    for line in dict.fromkeys(said):
        log.warning("%s: %s", path, line)
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


def from_pil(image: Image.Image, name: str, size: int | None = None) -> Images:
    """A PIL image of any mode, upright; see `as_images`. With a `size`, it is shrunk as in `read_picture`."""
    check_picture(name, image, size)
    return _from_image(upright(image, in_place=False), image, name, name, size, same)


def check_picture(source: str, image: Image.Image, size: int | None,
                  keep: Callable[[torch.Tensor], torch.Tensor] = same) -> None:
    """Refuse an opened picture that is too small or too large, before it is decoded; `source` is what messages say."""
    check_size(source, *image.size)
    decoding, held = _decoded_bytes(image)
    colours = keep(torch.empty(1, 1 if image.mode in GREY or image.mode.startswith("I") else 3, 1, 1)).shape[1]
    channels = colours + image.has_transparency_data
    needed = max(decoding, held + (0 if size else 4 * channels)) * image.width * image.height
    if needed > MAX_BYTES:
        raise PictureError(f"{source}: {image.width} x {image.height} px of this kind need {needed / 1e9:.1f} GB of "
                           f"memory, more than {MAX_BYTES / 1e9:.1f}: crop or shrink it first (data.size shrinks the "
                           "picture of data=... as it is read)")


def _decoded_bytes(image: Image.Image) -> tuple[int, int]:
    """About how many bytes a pixel takes while Pillow decodes it, turns it included, and afterwards."""
    held = 8 if ";16" in raw_mode(image) and image.mode in ("RGB", "RGBA") else 4  # read twice
    if image.mode in ("1", "L", "P"):
        held = 1
    while_decoding = {"WEBP": 16, "AVIF": 12, "TIFF": 8, "JPEG": 10, "MPO": 10}.get(image.format, 0)
    return max(while_decoding, held + 4), while_decoding if image.format in ("WEBP", "AVIF") else held


def _decoded(path: Path, name: str, size: int | None,
             keep: Callable[[torch.Tensor], torch.Tensor]) -> Images:
    """The first frame, upright."""
    with path.open("rb") as file:
        image = Image.open(file, formats=tuple(FORMATS))
        check_picture(str(path), image, size, keep)
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
        return _from_image(upright(image) if samples is None else samples, image, name, str(path), size, keep)


def _from_image(found: Image.Image | Samples, image: Image.Image, name: str, source: str, size: int | None,
                keep: Callable[[torch.Tensor], torch.Tensor]) -> Images:
    """Pixels of a decoded PIL image of any mode, or its samples; `source` is what error messages call it."""
    samples = found if isinstance(found, Samples) else _samples_of(found, source)
    picture, one = _from_samples(samples, name, source, size, keep), samples.rows(0, 1)
    channels, bits = (3 if one[0, 0].size > 2 else 1), (8 if one.dtype.itemsize == 1 else 16)
    return replace(picture, conventions=conventions_of(image, channels, bits, source))


def _samples_of(image: Image.Image, source: str) -> Samples:
    """Those of a loaded image."""
    mode = image.mode
    if mode == "I":
        raise PictureError(f"{source}: 32-bit or signed integer samples; save it with 8 or 16 bits")
    wanted = None
    # 16-bit and float samples are passed on as they are: Pillow's convert() would clip them at 255.
    if mode != "F" and not mode.startswith("I;16"):
        grey = mode in GREY
        if image.has_transparency_data:
            wanted = "LA" if grey else "RGBA"
        else:
            wanted = "L" if grey else "RGB"
    return Samples(image.height, image.width, rows_of(image, wanted))


def _from_array(array: np.ndarray, name: str, source: str, layout: str) -> Images:
    """(H, W) or (H, W, C) samples, transparency last if C is 2 or 4; `layout` is for the error message."""
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (2,), (3,), (4,)):
        raise PictureError(f"{source}: shape {array.shape}; give {layout} with C = 1 to 4")
    check_size(source, array.shape[1], array.shape[0])
    if array.dtype.kind not in "buf" or (array.dtype.kind == "u" and array.dtype.itemsize > 2):
        raise PictureError(f"{source}: samples of {array.dtype}; give uint8, uint16 or floats in [0, 1]")
    samples = Samples(*array.shape[:2], lambda top, bottom: array[top:bottom])
    return replace(_from_samples(samples, name, source), conventions=Conventions(bits=16 if array.dtype == np.uint16
                                                                                 else 8))


def _from_samples(samples: Samples, name: str, source: str, size: int | None = None,
                  keep: Callable[[torch.Tensor], torch.Tensor] = same) -> Images:
    """The pixels and the alpha of bool, uint8, uint16 or float samples, perhaps shrunk."""
    height, width = samples.height, samples.width
    check_size(source, width, height)
    sides = shrunk_sides(name, height, width, size)
    channels = samples.rows(0, 1)[0, 0].size
    narrow, clear = sides[1] if sides else width, channels in (2, 4)
    pixels = torch.empty(1, keep(torch.empty(1, channels - clear, 1, 1)).shape[1], height, narrow)
    alpha = torch.empty(1, 1, height, narrow) if clear else None
    opaque, floats = True, _Floats()
    for rows, band in samples.bands():
        planes = torch.from_numpy(floats.of(band)).permute(2, 0, 1)[None].contiguous()
        colours, clearness = keep(planes[:, :channels - clear]), planes[:, channels - clear:]
        here = (planes.shape[2], narrow)
        pixels[..., rows, :] = shrunk(colours, here) if sides else colours
        if clear:
            opaque = opaque and bool((clearness == 1).all())
            alpha[..., rows, :] = shrunk_alpha(clearness, here) if sides else clearness
    floats.check(source)
    if not opaque:
        log.warning("%s: transparency is kept apart, transparent pixels have the colour stored in them", source)
    if sides is None:
        return Images(name, pixels, alpha)
    return Images(name, shrunk(pixels, sides).clamp_(0, 1), shrunk_alpha(alpha, sides) if clear else None,
                  changes=(partial(resize_to, size=size),), original=(height, width))


class _Floats:
    """Turns samples into float32 in [0, 1], and remembers whether float samples were no picture."""

    def __init__(self) -> None:
        self.bad, self.low, self.high = 0, np.inf, -np.inf

    def of(self, samples: np.ndarray) -> np.ndarray:
        """A float32 copy; of floats without rounding errors outside [0, 1]."""
        if samples.dtype.kind == "u":
            return samples.astype(np.float32) / np.float32(255 if samples.dtype.itemsize == 1 else 65535)
        if samples.dtype.kind == "b":
            return samples.astype(np.float32)
        finite = np.isfinite(samples)
        self.bad += samples.size - int(finite.sum())
        self.low = min(self.low, float(samples.min(where=finite, initial=np.inf)))
        self.high = max(self.high, float(samples.max(where=finite, initial=-np.inf)))
        return np.clip(samples, 0, 1).astype(np.float32)

    def check(self, source: str) -> None:
        """Refuse samples that are not finite, or further outside than rounding explains."""
        if self.bad:
            raise PictureError(f"{source}: {self.bad} samples are NaN or infinite; replace them by numbers in [0, 1]")
        if self.low < -ROUNDING or self.high > 1 + ROUNDING:
            raise PictureError(f"{source}: float samples from {self.low:.6g} to {self.high:.6g}; scale them to [0, 1]")


def check_size(source: str, width: int, height: int) -> None:
    """Refuse a picture of more than `MAX_PIXELS`, or with a side under `MIN_SIDE`."""
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
