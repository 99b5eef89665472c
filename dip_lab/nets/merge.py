"""Upsample x2, concatenate, batch-norm, pad, convolve: the costliest part of the skip network, made cheap.

`Merge` computes it in plain steps or, where that is faster, by an exact rewrite which never builds the enlarged map.
Bilinear interpolation x2 is, for each axis, zero-stuffing, then the box [1, 1], then the blur [1, 2, 1] / 4. A
convolution commutes with the blur, and box and 3x3 kernel together are a 4x4 kernel on a zero-stuffed map. That is a
2x2 kernel on the small map for each of the four kinds of output pixel: 4 multiply-adds per output pixel and pair of
channels instead of 9.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dip_lab.nets.convolution import Conv, gradients, reflect_pad, reflect_pad_backward, without_autocast, working

LARGE = 2**21  # bytes of an enlarged map: below, the plain steps are as fast
BAND = 32  # rows of the small map that are computed at once
# For one axis and a 3-tap kernel w: [kind of output, tap of the small map, tap of w].
TAPS = (((1, 1, 0), (0, 0, 1)), ((1, 0, 0), (0, 1, 1)))
# Both axes: what the 4 kinds x 4 taps of the small map take of the 9 places of the kernel.
PLACES = [[down * across for down in TAPS[p][a] for across in TAPS[q][b]]
          for p, q, a, b in itertools.product((0, 1), repeat=4)]
BLUR = (0.25, 0.5, 0.25)
SPREAD = (0.1875, 0.625, 0.1875)  # S, of both axes: the mean square of the enlarged map is the mean of x (S x)


class Merge(nn.Module):
    """Upsample x2, concatenate, batch-norm, pad, convolve."""

    def __init__(self, skip: int, deep: int, out_channels: int, kernel: int, upsample: str, padding: str):
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode=upsample)
        self.norm = nn.BatchNorm2d(skip + deep)
        self.conv = Conv(skip + deep, out_channels, kernel, padding)
        self.can_rewrite = upsample == "bilinear" and kernel == 3 and padding == "reflection"

    def forward(self, deep: Tensor, skip: Tensor | None) -> Tensor:
        """(N, deep, H, W) and (N, skip, 2H, 2W) (None if there is no branch) to (N, out_channels, 2H, 2W)."""
        if self.rewritten(deep):
            deep = working(deep)
            with torch.autocast(deep.device.type, enabled=False):  # which would fold the weights in bfloat16
                return self.without_the_enlarged_map(deep, skip)
        x = self.upsample(deep)
        if skip is not None:
            x = torch.cat((skip, x), 1)
        return self.conv(self.norm(x))

    def rewritten(self, deep: Tensor) -> bool:
        """Whether this map takes the rewrite. It was measured on CPUs only, and needs statistics of the batch."""
        large = 4 * deep.numel() * deep.element_size() >= LARGE
        shifted = not self.upsample.align_corners  # else the taps change from pixel to pixel
        return self.can_rewrite and shifted and self.training and deep.device.type == "cpu" and large

    def without_the_enlarged_map(self, deep: Tensor, skip: Tensor | None) -> Tensor:
        """The rewrite. The deep map's norm is folded into the weights: its statistics come from the small map."""
        norm, branches = self.norm, self.norm.num_features - deep.shape[1]
        weight = self.conv.weight
        deep, mean, variance = _Statistics.apply(deep)
        scale = norm.weight[branches:] * torch.rsqrt(variance + norm.eps)
        bias = self.conv.bias + weight[:, branches:].sum((2, 3)) @ norm.bias[branches:]
        with torch.no_grad():
            norm.num_batches_tracked += 1
            count = 4 * deep.numel() / deep.shape[1]
            norm.running_mean[branches:].lerp_(mean, norm.momentum)
            norm.running_var[branches:].lerp_(variance * (count / (count - 1)), norm.momentum)
        if skip is not None:
            skip = F.batch_norm(skip, norm.running_mean[:branches], norm.running_var[:branches],
                                norm.weight[:branches], norm.bias[:branches], True, norm.momentum, norm.eps)
        return upsample_convolve(deep, weight[:, branches:] * scale[:, None, None], bias, skip, weight[:, :branches])


def upsample_convolve(x: Tensor, weight: Tensor, bias: Tensor, beside: Tensor | None = None,
                      weight_beside: Tensor | None = None) -> Tensor:
    """Convolve the bilinear x2 of x (N, C, H, W), padded by one mirrored pixel, with (O, C, 3, 3), in the dtype of x.

    `beside` (N, B, 2H, 2W), if given, is concatenated to the enlarged map and has its own part of the weight.
    """
    outputs, inputs = weight.shape[:2]
    taps = torch.tensor(PLACES, dtype=weight.dtype, device=weight.device)
    by_place = weight.permute(0, 2, 3, 1).reshape(outputs, 9, inputs)
    packed = (taps @ by_place).view(outputs, 4, 2, 2, inputs).transpose(0, 1).reshape(4 * outputs, 2, 2, inputs)
    if beside is not None:
        beside, weight_beside = beside.to(x.dtype), weight_beside.to(x.dtype)
    return _UpsampleConvolve.apply(x, packed.to(x.dtype).permute(0, 3, 1, 2), weight.to(x.dtype), bias.to(x.dtype),
                                   beside, weight_beside)


class _UpsampleConvolve(torch.autograd.Function):
    """Convolve with `packed` (4 O, C, 2, 2), interleave the four kinds of pixels, blur, correct the edges.

    Bands of rows, so that what lies between takes little memory and stays in the cache.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor, beside: Tensor | None,
                weight_beside: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, packed, weight, *([] if beside is None else [beside, weight_beside]))
        (n, _, h, w), outputs = x.shape, len(weight)
        result = torch.empty((n, outputs, 2 * h, 2 * w), dtype=x.dtype, device=x.device,
                             memory_format=torch.channels_last)  # first: the largest takes the largest free block
        padded, bias = F.pad(x, (1, 1, 1, 1), mode="replicate"), bias.repeat(4)
        padded_beside = None if beside is None else reflect_pad(beside, 1)
        for top in range(0, h, BAND):
            bottom = min(top + BAND, h)
            kinds = F.conv2d(padded[:, :, top : bottom + 2], packed, bias)
            band = _each_channel(_interleave(kinds), BLUR)
            if beside is not None:
                band += F.conv2d(padded_beside[:, :, 2 * top : 2 * bottom + 2], weight_beside)
            result[:, :, 2 * top : 2 * bottom] = band
        for dim, correction in zip((2, 3), _corrections(*_edges(x), weight), strict=True):
            for i in (0, 1):
                result.select(dim, -i).add_(correction[:, i])
        return result

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, gradient: Tensor):
        x, packed, weight, *besides = ctx.saved_tensors
        h = x.shape[2]
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        along_x, along_packed = torch.zeros_like(padded), torch.zeros_like(packed, dtype=weight.dtype)
        for top in range(0, h + 1, BAND + 1):  # rows of kinds, of which there is one more
            bottom = min(top + BAND + 1, h + 1)
            first, last = 2 * top - 2, 2 * bottom  # rows of the result that see them
            seen = gradient[:, :, max(first, 0) : last]
            beyond = (max(-first, 0), max(last - 2 * h, 0))
            blurred = _each_channel(F.pad(seen, (2, 2, *beyond)), BLUR)
            of_x, of_packed = gradients(padded[:, :, top : bottom + 1], packed, _take_apart(blurred), 1, 0)
            along_x[:, :, top : bottom + 1] += of_x
            along_packed += of_packed
        for dim in (2, 3):
            last = along_x.shape[dim] - 1
            along_x.narrow(dim, 1, 1).add_(along_x.narrow(dim, 0, 1))
            along_x.narrow(dim, last - 1, 1).add_(along_x.narrow(dim, last, 1))
        along_x = along_x[:, :, 1:-1, 1:-1].clone(memory_format=torch.channels_last)
        with torch.enable_grad():
            thin = [part.detach().requires_grad_() for part in (*_edges(x), weight)]
            corrections = _corrections(*thin)
        along = [torch.stack((gradient.select(dim, 0), gradient.select(dim, -1)), 1) for dim in (2, 3)]
        of_rows, of_columns, along_weight = torch.autograd.grad(corrections, thin, along)
        for dim, of_edges in ((2, of_rows), (3, of_columns)):
            for i, place in enumerate((0, 1, -2, -1)):
                along_x.select(dim, place).add_(of_edges.select(dim, i))
        of_beside = None, None
        if besides:
            beside, weight_beside = besides
            of_beside = gradients(reflect_pad(beside, 1), weight_beside, gradient, 1, 0)
            of_beside = reflect_pad_backward(of_beside[0], 1), of_beside[1]
        return along_x, along_packed, along_weight, gradient.sum((0, 2, 3)), *of_beside


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """The two outermost rows and columns on each side: (N, C, 4, W) and (N, C, H, 4)."""
    places = [0, 1, -2, -1]
    return x[:, :, places], x[..., places]


def _corrections(rows: Tensor, columns: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What to add to the first and last row (N, 2, O, W) and column (N, 2, O, H) of the result.

    Only the outermost ring of the padded map tells mirrored pixels, which the network has, from repeated ones.
    """
    steps = torch.stack((rows[:, :, 1] - rows[:, :, 0], rows[:, :, 2] - rows[:, :, 3]), 1) / 4
    lines = F.pad(_double(steps), (1, 1), mode="reflect")
    of_rows = _along(lines, torch.stack((weight[:, :, 0], weight[:, :, 2])))
    steps = torch.stack((columns[..., 1] - columns[..., 0], columns[..., 2] - columns[..., 3]), 1) / 4
    lines = F.pad(_double(steps), (1, 1), mode="replicate")
    return of_rows, _along(lines, torch.stack((weight[..., 0], weight[..., 2])))


def _double(lines: Tensor) -> Tensor:
    """Linear x2 of the last axis of (N, 2, C, L): (2 N, C, 2 L)."""
    return F.interpolate(lines.flatten(0, 1), scale_factor=2, mode="linear")


def _along(lines: Tensor, weights: Tensor) -> Tensor:
    """Convolve two edges (2 N, C, L + 2), each with its own (O, C, 3): (N, 2, O, L)."""
    count = len(lines) // 2
    lines = lines.view(count, 2 * lines.shape[1], -1)
    return F.conv1d(lines, weights.flatten(0, 1), groups=2).view(count, 2, weights.shape[1], -1)


class _Statistics(torch.autograd.Function):
    """The map less each channel's mean, the means, and the variances of the bilinear x2 of the map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = _means(x)
        centred = x - mean.to(x.dtype)[:, None, None]
        ctx.save_for_backward(centred)
        ctx.mark_non_differentiable(mean)
        return centred, mean, _means(centred * _spread(centred))

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, gradient: Tensor, _, of_variance: Tensor) -> Tensor:
        centred, = ctx.saved_tensors
        factor = of_variance * (2 * centred.shape[1] / centred.numel())
        gradient = torch.addcmul(gradient, _spread(centred), factor.to(gradient.dtype)[:, None, None])
        return gradient.sub_(_means(gradient).to(gradient.dtype)[:, None, None])


def _means(x: Tensor) -> Tensor:
    """Each channel's mean in float32 or wider. Torch's sum of a bfloat16 map in float32 would copy the map."""
    unused = x.new_zeros(x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))  # says the dtype
    return torch.ops.aten.batch_norm_update_stats(x, unused, unused.clone(), 0.0)[0]


def _spread(x: Tensor) -> Tensor:
    return _each_channel(F.pad(x, (1, 1, 1, 1), mode="replicate"), SPREAD)


def _each_channel(x: Tensor, taps: Sequence[float], padding: int = 0) -> Tensor:
    """Convolve each channel with the outer product of the taps."""
    taps, channels = torch.tensor(taps, dtype=x.dtype, device=x.device), x.shape[1]
    return F.conv2d(x, torch.outer(taps, taps).expand(channels, 1, -1, -1), padding=padding, groups=channels)


def _interleave(kinds: Tensor) -> Tensor:
    """(N, 4 O, H, W), kinds before channels, to (N, O, 2H, 2W) in channels-last memory."""
    n, channels, h, w = kinds.shape
    kinds = kinds.permute(0, 2, 3, 1).view(n, h, w, 2, 2, channels // 4)
    return kinds.transpose(2, 3).reshape(n, 2 * h, 2 * w, channels // 4).permute(0, 3, 1, 2)


def _take_apart(x: Tensor) -> Tensor:
    """The inverse of `_interleave`."""
    n, channels, h, w = x.shape
    x = x.permute(0, 2, 3, 1).view(n, h // 2, 2, w // 2, 2, channels)
    return x.transpose(2, 3).reshape(n, h // 2, w // 2, 4 * channels).permute(0, 3, 1, 2)
