"""Pictures made smaller: shrunk, or cropped."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dip_lab.checks import whole
from dip_lab.data.picture import MIN_SIDE, Images, PictureError


def resize_to(picture: Images, size: int | None) -> Images:
    """Shrinks to a longest side of `size` px with antialiased Lanczos (equal to Pillow's); never enlarges.

    A pixel of the small alpha is the smallest of those it covers: nothing becomes known that was not.

    >>> import torch
    >>> resize_to(Images("grey", torch.full((1, 1, 32, 64), 0.5)), 16).pixels.shape
    torch.Size([1, 1, 8, 16])
    """
    sides = shrunk_sides(picture.name, *picture.pixels.shape[-2:], size)
    if sides is None:
        return picture
    alpha = None if picture.alpha is None else shrunk_alpha(picture.alpha, sides)
    return _changed(picture, shrunk(picture.pixels, sides).clamp_(0, 1), alpha, partial(resize_to, size=size))


def shrunk_sides(name: str, height: int, width: int, size: int | None) -> tuple[int, int] | None:
    """(h, w) in px of a picture whose longest side is shrunk to `size` px; None: it stays as it is."""
    size = whole(size)
    _check_target(size)
    longest = max(height, width)
    if size is None or longest <= size:
        return None
    sides = (max(1, round(height * size / longest)), max(1, round(width * size / longest)))
    if min(sides) < MIN_SIDE:
        raise PictureError(
            f"{name}: data.size={size} makes {width} x {height} px into {sides[1]} x {sides[0]}; "
            f"every side must keep {MIN_SIDE} px: take a larger data.size"
        )
    return sides


def shrunk(pixels: Tensor, sides: tuple[int, int]) -> Tensor:
    """(N, C, H, W) -> (N, C, h, w), not clamped. First to (H, w), then to (h, w): the same values, bit for bit.

    By Pillow: before 2.13 torch has no Lanczos.
    """
    planes = [Image.fromarray(plane).resize(sides[::-1], Image.Resampling.LANCZOS)
              for plane in pixels.flatten(0, 1).numpy()]
    return torch.from_numpy(np.stack(planes)).unflatten(0, pixels.shape[:2])


def shrunk_alpha(alpha: Tensor, sides: tuple[int, int]) -> Tensor:
    """The smallest value of those that a small pixel covers; in two steps it is the same, too."""
    return -F.adaptive_max_pool2d(-alpha, sides)


def centre_crop(picture: Images, size: int | None, centre: tuple[float, float] = (0.5, 0.5)) -> Images:
    """Cuts out `size` x `size` px; a side that is shorter stays whole, and None changes nothing.

    Args:
        picture: What to crop.
        size: Side in px.
        centre: Middle of the cut as fractions of (height, width); moved inwards if it would stick out.
    """
    size = whole(size)
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
    return _changed(picture, picture.pixels[window].contiguous(), alpha,
                    partial(centre_crop, size=size, centre=centre))


def crop_to_multiple(picture: Images, multiple: int) -> Images:
    """Crops around the middle, as little as possible, so that both sides are multiples of `multiple` px.

    >>> import torch
    >>> crop_to_multiple(Images("grey", torch.full((1, 1, 40, 70), 0.5)), 32).pixels.shape
    torch.Size([1, 1, 32, 64])
    """
    height, width = picture.pixels.shape[-2:]
    if min(height, width) < multiple:
        raise PictureError(f"{picture.name}: {width} x {height} px is less than data.multiple={multiple}")
    rows, columns = (slice(side % multiple // 2, side % multiple // 2 + side // multiple * multiple)
                     for side in (height, width))
    alpha = None if picture.alpha is None else picture.alpha[..., rows, columns].contiguous()
    return _changed(picture, picture.pixels[..., rows, columns].contiguous(), alpha,
                    partial(crop_to_multiple, multiple=multiple))


def following(known: Tensor, picture: Images) -> Tensor:
    """A mask of the size of the picture's file, made smaller as the picture was; one of another size as it is.

    Args:
        known: bool (N, 1, H, W), true where a pixel is known. A small pixel is known if all that it covers are.
        picture: which mask it is for.
    """
    if tuple(known.shape[-2:]) != picture.original:
        return known
    alpha = known.float()
    mask = Images("mask", alpha, alpha)
    for change in picture.changes:
        mask = change(mask)
    return mask.alpha == 1


def _changed(picture: Images, pixels: Tensor, alpha: Tensor | None, change: Callable[[Images], Images]) -> Images:
    return replace(picture, pixels=pixels, alpha=alpha, changes=(*picture.changes, change),
                   original=picture.original or tuple(picture.pixels.shape[-2:]))


def _check_target(size: int | None) -> None:
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < MIN_SIDE):
        raise PictureError(f"data.size={size}: give a whole number of at least {MIN_SIDE} px, or null")
