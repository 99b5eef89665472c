"""Images as PNG of 8 or 16 bits a channel."""

import io
import struct
import zlib

import numpy as np
import torch
from PIL import Image


def to_uint8(pixels: torch.Tensor) -> np.ndarray:
    """(1, C, H, W) in [0, 1] to uint8 (H, W) if C is 1, else (H, W, C); clamped, and rounded, not cut off.

    >>> to_uint8(torch.tensor([[[[-1.0, 0.499, 0.999, 2.0]]]]))
    array([[  0, 127, 255, 255]], dtype=uint8)
    """
    bytes_ = pixels.detach()[0].float().clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    return bytes_[0].numpy() if bytes_.shape[0] == 1 else bytes_.permute(1, 2, 0).contiguous().numpy()


def to_uint16(pixels: torch.Tensor) -> np.ndarray:
    """(1, C, H, W) in [0, 1] to a new uint16 (H, W, C); clamped and rounded.

    >>> to_uint16(torch.tensor([[[[-1.0, 0.5, 2.0]]]]))[0, :, 0]
    array([    0, 32768, 65535], dtype=uint16)
    """
    levels = pixels.detach()[0].float().clamp(0, 1).mul(65535).round().permute(1, 2, 0).cpu().numpy()
    return levels.astype(np.uint16, order="C")


def encode_png(pixels: torch.Tensor, bits: int = 8, icc: bytes | None = None, exif: bytes | None = None,
               dpi: tuple[float, float] | None = None) -> bytes:
    """(1, C, H, W) in [0, 1] as a PNG: grey, grey with transparency, RGB or RGBA for C = 1 to 4.

    Args:
        pixels: rounded to 8 or 16 bits.
        bits: 8 or 16.
        icc: the ICC profile.
        exif: EXIF data, which begin with `Exif\\0\\0`.
        dpi: pixels per inch across and down.
    """
    if bits == 16:  # Pillow writes no 16-bit colour
        return _png16(to_uint16(pixels), icc, exif, dpi)
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(pixels)).save(buffer, format="PNG", icc_profile=icc, exif=exif or b"", dpi=dpi)
    return buffer.getvalue()


def _png16(samples: np.ndarray, icc: bytes | None, exif: bytes | None, dpi: tuple[float, float] | None) -> bytes:
    """The file of (H, W, C) uint16 (https://www.w3.org/TR/png-3/); each row is stored as its difference to that above.
    """
    height, width, channels = samples.shape
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    lines = np.full((height, 1 + rows.shape[1]), 2, np.uint8)  # a row begins with the number of its filter: 2 is Up
    lines[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # modulo 256
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    file = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">2I5B", width, height, 16, colour, 0, 0, 0))
    if icc:
        file += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if dpi:
        file += _chunk(b"pHYs", struct.pack(">2IB", *(round(each / 0.0254) for each in dpi), 1))  # per metre
    if exif:
        file += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    return file + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
