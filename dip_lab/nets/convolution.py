"""The convolution of every network: its padding, its forward pass and its two gradients.

Autograd's own convolution keeps the padded copy of its input, computes the weight gradient twice where the bias has one
as well, and on a CPU without AVX-512 computes it at a tenth of the processor's speed. What is done here follows from
the kind of processor and the shapes alone, so a seed gives the same fit on every machine of a kind.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LARGE = 2**19  # values of a map that gains by what is done here: it leaves the second-level cache
BAND = 16  # rows of a large map that are computed at once


class Conv(nn.Conv2d):
    """A convolution padded by (kernel - 1) / 2: stride 1 keeps the size, stride 2 halves an even one."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        padding: str = "zero",
        stride: int = 1,
        bias: bool = True,
    ):
        reach = (kernel - 1) // 2
        self.reflected = reach if padding == "reflection" else 0
        super().__init__(in_channels, out_channels, kernel, stride, 0 if self.reflected else reach, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride[0], self.reflected, self.padding[0])


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, reflected: int = 0, zeros: int = 0,
             ) -> Tensor:
    """`F.conv2d` of (N, C, H, W), padded by `reflected` mirrored pixels and `zeros` zeros on each side.

    Autocast applies. The gradient of the result cannot be differentiated again. An x that has a `remake` (see
    norm_act.py) is not kept for the backward pass, which computes it again.
    """
    x = working(x)
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    remake = getattr(x, "remake", None)
    gains = x.device.type == "cpu" and x.numel() >= LARGE and weight.shape[-1] > 1
    # Torch's own backward pass of the padding has no deterministic kernel on CUDA.
    strict = reflected and x.is_cuda and torch.are_deterministic_algorithms_enabled()
    if remake or gains or strict:
        return _Convolution.apply(x, weight, bias, stride, reflected, zeros, remake)
    with torch.autocast(x.device.type, enabled=False):  # which would pad in float32
        return F.conv2d(reflect_pad(x, reflected), weight, bias, stride, zeros)


def working(x: Tensor) -> Tensor:
    """x in the dtype that autocast wants of a convolution."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def without_autocast(method: Callable) -> Callable:
    """A pass of a Function, whose tensors have the right dtypes: autocast would pad them in float32."""

    @functools.wraps(method)
    def plain(ctx: Any, x: Tensor, *others: Any) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return method(ctx, x, *others)

    return plain


class _Convolution(torch.autograd.Function):
    @staticmethod
    @without_autocast
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, reflected: int, zeros: int,
                remake: Callable[[slice], Tensor] | None) -> Tensor:
        ctx.save_for_backward(weight, *([] if remake else [x]))
        ctx.geometry, ctx.remake = (stride, reflected, zeros), remake
        return F.conv2d(reflect_pad(x, reflected), weight, bias, stride, zeros)

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, gradient: Tensor):
        weight, *kept = ctx.saved_tensors
        stride, reflected, zeros = ctx.geometry
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        along_bias = gradient.sum((0, 2, 3)) if of_bias else None
        if ctx.remake and weight.shape[-1] == stride == 1:
            along_x, along_weight = _pixelwise(ctx.remake, weight, gradient)
        else:
            x = reflect_pad(kept[0] if kept else ctx.remake(slice(None)), reflected)
            along_x, along_weight = gradients(x, weight, gradient, stride, zeros, of_x, of_weight)
            along_x = reflect_pad_backward(along_x, reflected) if of_x else None
        return along_x, along_weight, along_bias, None, None, None, None


def _pixelwise(remake: Callable[[slice], Tensor], weight: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Both gradients of a 1x1 convolution, band by band, so that its input never exists as a whole."""
    n, _, h, w = gradient.shape
    along_x = torch.empty((n, weight.shape[1], h, w), dtype=gradient.dtype, device=gradient.device,
                          memory_format=torch.channels_last)
    along_weight = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
    for top in range(0, h, BAND):
        rows = slice(top, top + BAND)
        along_x[:, :, rows], of_weight = gradients(remake(rows), weight, gradient[:, :, rows], 1, 0)
        along_weight += of_weight
    return along_x, along_weight.to(weight.dtype)


def gradients(x: Tensor, weight: Tensor, gradient: Tensor, stride: int, zeros: int, of_x: bool = True,
              of_weight: bool = True) -> tuple[Tensor | None, Tensor | None]:
    """What `gradient`, that of the convolution of x padded by zeros, becomes for x and for the weight."""
    products = of_weight and by_products(x, gradient, weight)
    along_x, along_weight, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride, stride], [zeros, zeros], [1, 1], False, [0, 0], 1,
        [of_x, of_weight and not products, False])
    if products:
        along_weight = weight_gradient(F.pad(x, (zeros,) * 4), gradient, weight, stride)
    return along_x, along_weight


def by_products(x: Tensor, gradient: Tensor, weight: Tensor) -> bool:
    """Whether matrix products make the weight gradient faster than oneDNN: in float32 with AVX2 alone.

    There its kernel for channels-last maps larger than the processor's second-level cache reaches a tenth to a third
    of the processor's speed, and matrix products four fifths.
    """
    return (x.device.type == "cpu" and x.dtype == torch.float32 and weight.shape[-1] > 1
            and max(x.numel(), gradient.numel()) >= LARGE and capability() == "AVX2")


@functools.cache
def capability() -> str:
    """The vector instructions that torch uses: AVX512, AVX2 or DEFAULT."""
    return torch.backends.cpu.get_cpu_capability()


def weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The weight gradient of an unpadded convolution by matrix products, one for each band of the map.

    A band's product is that of all places of the kernel at once. Its factors are small enough for the cache.
    """
    outputs, inputs, high, wide = weight.shape
    n, _, h, w = gradient.shape
    x = x.contiguous(memory_format=torch.channels_last)
    by_image, _, by_row, by_pixel = x.stride()
    result = x.new_zeros(high * wide * inputs, outputs)
    for top in range(0, h, BAND):
        rows = min(BAND, h - top)
        seen = x[:, :, stride * top :].as_strided((n, rows, w, high, wide * inputs),
                                                  (by_image, stride * by_row, stride * by_pixel, by_row, 1))
        band = gradient[:, :, top : top + rows].permute(0, 2, 3, 1)
        # Not `addmm_`, which torch's counter of operations does not know.
        torch.addmm(result, seen.reshape(-1, high * wide * inputs).t(), band.reshape(-1, outputs), out=result)
    return result.t().contiguous().view(outputs, high, wide, inputs).permute(0, 3, 1, 2)


def reflect_pad(x: Tensor, pad: int) -> Tensor:
    """Mirror `pad` pixels outward on each side of (N, C, H, W); H and W must exceed `pad`."""
    return F.pad(x, (pad, pad, pad, pad), mode="reflect") if pad else x


def reflect_pad_backward(gradient: Tensor, pad: int) -> Tensor:
    """The gradient (N, C, H, W) that `reflect_pad` sees, from that of its padded result, which is overwritten.

    Slices and sums of thin edges: 5 times faster than torch's own on a CPU, and deterministic on every device.
    """
    if not pad:
        return gradient
    for dim in (2, 3):
        last = gradient.shape[dim] - 1
        for i in range(1, pad + 1):
            gradient.narrow(dim, pad + i, 1).add_(gradient.narrow(dim, pad - i, 1))
            gradient.narrow(dim, last - pad - i, 1).add_(gradient.narrow(dim, last - pad + i, 1))
    inner = gradient[:, :, pad:-pad, pad:-pad]
    return inner.clone(memory_format=torch.channels_last if is_last(gradient) else torch.contiguous_format)


def is_last(x: Tensor) -> bool:
    """Whether the memory of (N, C, H, W) is channels-last, and not the ordinary layout as well."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
