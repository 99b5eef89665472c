"""Batch norm and leaky ReLU in one layer, which keeps half as much of a large map for its backward pass."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LARGE = 2**26  # bytes of a map on a CPU whose activations are computed again; smaller ones are kept, which is quicker
BAND = 16  # rows computed at once, which stay in the cache


class NormAct(nn.BatchNorm2d):
    """Batch norm, then x for x > 0 and `slope` * x elsewhere.

    Autograd keeps the input for the norm's backward pass and the result for the next convolution's. Of a large map only
    the input is kept: the result has an attribute `remake`, which computes any of its rows again.
    """

    def __init__(self, channels: int, slope: float):
        super().__init__(channels)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        small = x.numel() * x.element_size() < LARGE
        if small or x.device.type != "cpu" or not self.training or not torch.is_grad_enabled():
            # In place is safe: the norm's backward pass needs its input and not its output.
            return F.leaky_relu(super().forward(x), self.slope, inplace=True)
        self.num_batches_tracked += 1
        y, remake = _NormAct.apply(x, self.weight, self.bias, self.running_mean, self.running_var, self.momentum,
                                   self.eps, self.slope)
        y.remake = remake
        return y


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor,
                momentum: float, eps: float, slope: float) -> tuple[Tensor, Callable[[slice], Tensor]]:
        y, mean, scale = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        remake = partial(_rows, x.detach(), weight.detach(), bias.detach(), mean, scale, slope)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.remake, ctx.slope = remake, slope
        return F.leaky_relu_(y, slope), remake

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _):
        x, weight, mean, scale = ctx.saved_tensors
        wide, count = mean.dtype, x.numel() / x.shape[1]
        result = torch.empty_like(x)
        total, product = torch.zeros_like(mean), torch.zeros_like(mean)
        bands = [slice(top, top + BAND) for top in range(0, x.shape[2], BAND)]
        for rows in bands:
            band = torch.ops.aten.leaky_relu_backward(gradient[:, :, rows], ctx.remake(rows), ctx.slope, True)
            result[:, :, rows] = band
            total += band.sum((0, 2, 3), dtype=wide)
            product += ((x[:, :, rows] - _each(mean)) * band).sum((0, 2, 3))
        by_x = -weight * scale**3 * product / count
        rest = -weight * scale * total / count - mean * by_x
        for rows in bands:
            band = torch.addcmul(_each(rest), x[:, :, rows], _each(by_x))
            result[:, :, rows] = band.addcmul_(result[:, :, rows], _each(weight * scale))
        return result, product * scale, total, None, None, None, None, None


def _rows(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor, slope: float, rows: slice) -> Tensor:
    """The result's rows: of the input x, its mean, and its scale, which is 1 / standard deviation."""
    y = F.batch_norm(x[:, :, rows], mean, scale.double().pow(-2).to(scale.dtype), weight, bias, False, 0.0, 0.0)
    return F.leaky_relu_(y, slope)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None]
