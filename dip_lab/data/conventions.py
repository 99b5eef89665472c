"""What a picture file says about itself beside its pixels: colour profile, EXIF, resolution, depth, JPEG quality."""

import functools
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

log = logging.getLogger(__name__)
SPACES = {1: b"GRAY", 3: b"RGB "}  # of a profile (its bytes 16 to 19), for pictures of 1 and 3 channels
ORIENTATION, EXIF, GPS, INTEROPERABILITY = 0x0112, 0x8769, 0x8825, 0xA005
# Description, camera, resolution, software, date, author, host, rights, rating, Windows' own five, and the two lists.
# What else there may be tells how the file was stored, and would be wrong in another one.
KEPT = {0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, 0x4746, 0x4749,
        *range(0x9C9B, 0x9CA0)}
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, INCH = 0x011A, 0x011B, 0x0128, 2
PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # of sRGB, as PNG's cHRM lists them; its gAMA is 0.45455
WRONG = {0x927C, 0xA002, 0xA003, INTEROPERABILITY}  # maker notes, whose addresses break; width, height


@dataclass(frozen=True)
class Conventions:
    """What the restored file shall have in common with the picture's.

    Attributes:
        icc: the ICC profile; it suits the picture's channels.
        exif: EXIF data as `Exif\\0\\0` and a TIFF header with its lists; the orientation is 1, there is no thumbnail.
        bits: 8 or 16 a channel.
        quality: of a JPEG, from 1 to 100: that of libjpeg whose luminance table is nearest.
        exact: whether that table is the file's.
        dpi: pixels per inch across and down, where a PNG or a JPEG says so beside its EXIF data, which then say so too.
        lost: what else the file has and the restored one will not have, in words.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    bits: int = 8
    quality: int | None = None
    exact: bool = True
    dpi: tuple[float, float] | None = None
    lost: tuple[str, ...] = field(default=(), compare=False)

    def fitting(self, channels: int) -> "Conventions":
        """The same for a picture of so many channels: a profile for another number is left out."""
        return self if self.icc is None or _space(self.icc) == SPACES.get(channels) else replace(self, icc=None)

    @property
    def profile(self) -> str | None:
        """The profile's name, such as `Display P3`; None: there is no profile."""
        if self.icc is None:
            return None
        try:
            name = ImageCms.getProfileDescription(io.BytesIO(self.icc))
        except (ImageCms.PyCMSError, OSError):
            name = ""
        return " ".join(name.split()) or "without a name"

    def described(self, width: int, height: int) -> str:
        """One line for the person who gave the file; empty if there is nothing that they may not expect."""
        words = []
        if self.quality is not None:
            words.append(f"JPEG of quality {'' if self.exact else 'about '}{self.quality}")
        if self.bits == 16:
            words.append("16 bits a channel")
        if (profile := self.profile) and "srgb" not in profile.lower():
            words.append(f"ICC profile {profile}")
        if words:
            words.insert(1 if self.quality is not None else 0, f"{width} x {height} px")
        return "; ".join(filter(None, (", ".join(words), self.lost and f"not kept: {', '.join(self.lost)}")))

    @property
    def all(self) -> list[str]:
        """In words, all that is lost where none of it can be kept."""
        words = [f"ICC profile {profile}"] if (profile := self.profile) else []
        words += ["EXIF data"] * (self.exif is not None) + ["16 bits a channel"] * (self.bits == 16)
        return [*words, *self.lost]


def conventions_of(image: Image.Image, channels: int, bits: int, source: str) -> Conventions:
    """Those of an image that Pillow has loaded.

    What cannot be used is left out with a warning: EXIF data or a profile that is damaged, a profile for CMYK.

    Args:
        image: as it came from the file.
        channels: 1 or 3, of the pixels that are made from it.
        bits: of those.
        source: what messages call it.
    """
    icc, tables = image.info.get("icc_profile") or None, getattr(image, "quantization", None)
    if icc is not None and _space(icc) != SPACES.get(channels):
        space = _space(icc).decode("ascii", "replace").strip()
        log.warning("%s: its ICC profile is for %s, but its pixels are %s: it is left out", source,
                    space if space.isalnum() else "no colours at all", "grey" if channels == 1 else "RGB")
        icc = None
    quality, exact = quality_of(tables[0]) if tables else (None, True)
    dpi = None
    if "dpi" in image.info and (image.format == "PNG" or image.info.get("jfif_unit") in (1, 2)):
        dpi = tuple(round(float(each), 2) for each in image.info["dpi"])
    return Conventions(icc, _exif_of(image, source, dpi), bits, quality, exact, dpi, tuple(_lost(image)))


def announce(path: str | Path, picture: Any) -> None:
    """Say in the log what is worth knowing about a user's own file, from which the `Images` were read."""
    height, width = picture.pixels.shape[-2:]
    if text := picture.conventions.described(width, height):
        log.info("%s: %s", path, text)


def quality_of(table: Any) -> tuple[int, bool]:
    """(the quality whose luminance table is nearest to these 64 steps, whether it is the same)."""
    steps = np.log(np.maximum(np.asarray(table, np.float64), 1))
    distances = np.abs(_tables() - steps).sum(1)
    return int(distances.argmin()) + 1, bool(distances.min() == 0)


@functools.cache
def _tables() -> np.ndarray:
    """(100, 64) float64: the logarithms of libjpeg's luminance steps at the qualities 1 to 100."""
    rows, grey = [], Image.new("L", (8, 8))
    for quality in range(1, 101):
        stored = io.BytesIO()
        grey.save(stored, "JPEG", quality=quality)
        rows.append(Image.open(stored).quantization[0])
    return np.log(np.array(rows, np.float64))


def _space(icc: bytes) -> bytes:
    return icc[16:20]


def _lost(image: Image.Image) -> Iterator[str]:
    """What a file has that is not kept."""
    info, text = image.info, [key for key in getattr(image, "text", {}) if not key.startswith("XML:")]
    if image.mode == "CMYK":
        yield "CMYK (its colours become RGB by a formula, without a profile)"
    if image.mode in ("P", "PA"):
        yield "the palette"
    if image.mode == "F":
        yield "samples of 32 bits (16 are written)"
    if image.format == "MPO" and image.n_frames > 1:
        yield f"{image.n_frames - 1} more pictures behind the first"
    if not info.get("icc_profile") and "srgb" not in info:
        if abs(info.get("gamma", 0.45455) - 0.45455) > 1e-3:
            yield f"gamma {info['gamma']:.3g}"
        if any(abs(a - b) > 1e-3 for a, b in zip(info.get("chromaticity", ()), PRIMARIES, strict=False)):
            yield "the primaries of its colours"
    if "xmp" in info:
        yield "XMP data"
    if "photoshop" in info:
        yield "IPTC data"
    if info.get("comment"):
        yield "a comment"
    if text:
        yield f"text ({', '.join(text[:3])}{', ...' if len(text) > 3 else ''})"


def _exif_of(image: Image.Image, source: str, dpi: tuple[float, float] | None) -> bytes | None:
    """Written anew: without what described the old file's pixels, and with the resolution of the file's head."""
    try:
        found, kept = image.getexif(), Image.Exif()
        for tag, value in found.items():
            if tag in KEPT:
                kept[tag] = value
        for tag in (EXIF, GPS):
            if values := {key: value for key, value in found.get_ifd(tag).items() if key not in WRONG}:
                kept[tag] = values
        if dpi and X_RESOLUTION not in kept:
            (kept[X_RESOLUTION], kept[Y_RESOLUTION]), kept[RESOLUTION_UNIT] = dpi, INCH
        if not kept:
            return None
        kept[ORIENTATION] = 1  # the pixels are read upright
        return kept.tobytes()
    except Exception as error:  # damage makes Pillow raise nearly anything
        log.warning("%s: its EXIF data cannot be read and is left out (%s)", source, " ".join(str(error).split()))
        return None
