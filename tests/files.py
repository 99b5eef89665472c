"""Picture files with profiles, EXIF data and 16 bits, and what another library than ours reads of them."""

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WIDE = SRGB.replace("sRGB built-in".encode("utf-16-be"), "Wide gamut 13".encode("utf-16-be"))
GREY = WIDE[:16] + b"GRAY" + WIDE[20:]  # a profile for grey, as far as its head tells
CMYK = WIDE[:16] + b"CMYK" + WIDE[20:]
CAMERA, TAKEN = "Canon EOS 5D", "2020:01:02 03:04:05"


def exif(orientation: int = 1) -> bytes:
    """EXIF data of a camera, with an exposure and a place."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112], tags[0x011A] = "Canon", CAMERA, orientation, 300.0
    tags[0x8769] = {0x829A: IFDRational(1, 160), 0x9003: TAKEN, 0xA002: 999, 0xA003: 888, 0x927C: b"notes" * 9}
    tags[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    return tags.tobytes()


def check_exif(tags: Image.Exif) -> None:
    """Those of `exif`, for pixels that are upright; sizes and addresses that would be wrong are gone."""
    assert tags[0x0110] == CAMERA and tags[0x0112] == 1 and float(tags[0x011A]) == 300
    assert tags.get_ifd(0x8769)[0x9003] == TAKEN and tags.get_ifd(0x8769)[0x829A] == IFDRational(1, 160)
    assert not {0xA002, 0xA003, 0x927C} & tags.get_ifd(0x8769).keys()
    assert [float(each) for each in tags.get_ifd(0x8825)[2]] == [52, 31, 12]


def deep(channels: int, height: int = 10, width: int = 14) -> np.ndarray:
    """(H, W, C) uint16, all bits of which matter."""
    return np.random.default_rng(channels).integers(0, 65536, (height, width, channels), dtype=np.uint16)


def encode_16(samples: np.ndarray) -> bytes:
    """A PNG of (H, W, 3 or 4) uint16, written by FFmpeg."""
    height, width, channels = samples.shape
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.time_base = width, height, Fraction(1, 1)
    codec.pix_fmt = {3: "rgb48be", 4: "rgba64be"}[channels]
    frame = av.VideoFrame.from_ndarray(samples, codec.pix_fmt)
    return b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))


def decode_16(path: Path) -> np.ndarray:
    """(H, W, C) uint16 of a PNG with 16 bits a channel, read by FFmpeg; C is 1, 3 or 4."""
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
    if frame.format.name == "ya16be":
        frame = frame.reformat(format="rgba64be")
    array = frame.to_ndarray()
    return array.reshape(*array.shape[:2], -1)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, data: bytes, *chunks: bytes) -> bytes:
    """A PNG file of compressed data, with more chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def plain_png(samples: np.ndarray, *chunks: bytes) -> bytes:
    """A PNG of (H, W, C) uint16 without a filter."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], zlib.compress(rows), *chunks)


def stored(image: Image.Image, kind: str, **more) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    buffer.seek(0)
    return buffer
