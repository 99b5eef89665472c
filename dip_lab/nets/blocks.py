"""Layers that the networks share, and checks that only the settings of networks need."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer
from dip_lab.nets.norm_act import NormAct

SLOPES: Mapping[str, float] = {"leaky_relu": 0.2, "relu": 0.0}  # of the negative part
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    # In place is safe: each follows a layer whose backward pass does not need its output.
    "leaky_relu": partial(nn.LeakyReLU, SLOPES["leaky_relu"], inplace=True),
    "relu": partial(nn.ReLU, inplace=True),
    "swish": nn.SiLU,
    "elu": nn.ELU,
    "none": nn.Identity,
}
NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,  # without weights
    "none": lambda channels: nn.Identity(),
}
PADDINGS = ("reflection", "zero")
UPSAMPLINGS = ("bilinear", "nearest")


def kernel_size(key: str, value: object) -> int:
    """Return `value` if it is odd: a convolution with such a kernel can keep the size of the picture."""
    size = integer(key, value, 1)
    if size % 2 == 0:
        raise ValueError(f"{key}={size}: give an odd whole number: 1, 3, 5, 7 ...")
    return size


def listed(key: str, value: object) -> list:
    """A YAML list as a Python list; a ValueError if it is empty or not a list."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) == 0:
        raise ValueError(f"{key}={value}: give a list with one value per scale, outermost first")
    return list(value)


def per_scale(key: str, value: object, scales: int) -> list:
    """A list of length `scales`, outermost first, made from one value for all scales or from such a list."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value] * scales
    if len(value) != scales:
        raise ValueError(f"{key}={list(value)}: {len(value)} values for {scales} scales; give 1 or {scales}")
    return list(value)


def norm_act(channels: int, activation: str, norm: str = "batch") -> list[nn.Module]:
    """The norm and the activation that follow a convolution."""
    if norm == "batch" and activation in SLOPES:
        # Two layers, as with any other pair: the weights of earlier fits are named by the numbers of the layers.
        return [NormAct(channels, SLOPES[activation]), nn.Identity()]
    return [NORMS[norm](channels), ACTIVATIONS[activation]()]


class Lanczos(nn.Module):
    """Halve the size with a fixed Lanczos kernel centred between pixels; `lobes` is 2 or 3.

    Taps are sinc(d) sinc(d / lobes), normalised to sum 1; the border is replicated.
    """

    taps: Tensor

    def __init__(self, lobes: int):
        super().__init__()
        distance = (torch.arange(4 * lobes) - (4 * lobes - 1) / 2) / 2
        taps = torch.sinc(distance) * torch.sinc(distance / lobes)
        taps = taps / taps.sum()
        self.register_buffer("taps", torch.outer(taps, taps)[None, None], persistent=False)
        self.pad = 2 * lobes - 1

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        x = F.pad(x, (self.pad,) * 4, mode="replicate")
        return F.conv2d(x, self.taps.to(x.dtype).expand(channels, -1, -1, -1), stride=2, groups=channels)


def max_unpool(x: Tensor, indices: Tensor) -> Tensor:
    """Put the values (N, C, H, W) back where a 2x2 max-pooling took them from: (N, C, 2H, 2W), zero elsewhere.

    `F.max_unpool2d` raises an error in strictly deterministic runs, so those, and every GPU, use a scatter. On
    the CPU the scatter is 3 to 5 times slower (32 channels, 256 px, channels-last, forward and backward).
    `indices` come from `F.max_pool2d(..., return_indices=True)`.
    """
    if x.device.type != "cpu" or torch.are_deterministic_algorithms_enabled():
        return max_unpool_by_scatter(x, indices)
    return F.max_unpool2d(x, indices, 2)


def max_unpool_by_scatter(x: Tensor, indices: Tensor) -> Tensor:
    """`max_unpool` by a scatter of values to unique places, which is deterministic everywhere."""
    n, c, h, w = x.shape
    is_last = x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_last else torch.contiguous_format
    zeros = torch.empty((n, c, 2 * h, 2 * w), dtype=x.dtype, device=x.device, memory_format=layout).zero_()
    # In place into a view: the out-of-place scatter always returns contiguous memory, whatever its input.
    return zeros.flatten(2).scatter_(2, indices.flatten(2), x.flatten(2)).unflatten(2, (2 * h, 2 * w))


class ToImage(nn.Module):
    """Sigmoid in float32 or wider: in bfloat16 its steps above 1/2 would be 1/256, as in 8-bit pictures.

    The last step of a network, as its `to_image`: whoever wants its values unbounded puts `nn.Identity` there.
    """

    def forward(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))


def padded_up(side: int, stride: int) -> int:
    """The smallest multiple of `stride` that is `side` or more."""
    return math.ceil(side / stride) * stride
