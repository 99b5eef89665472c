"""Images as 8-bit PNG."""

import io

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


def encode_png(pixels: torch.Tensor) -> bytes:
    """(1, C, H, W) in [0, 1] as an 8-bit PNG: grey, RGB or RGBA for C = 1, 3, 4."""
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()
