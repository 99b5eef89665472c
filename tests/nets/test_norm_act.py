"""Batch norm with leaky ReLU: what is computed again for large maps equals what is kept for small ones."""

import copy

import pytest
import torch
from torch import nn

from dip_lab.nets import norm_act
from dip_lab.nets.convolution import Conv
from dip_lab.nets.norm_act import NormAct


def fitted(net, x, large, monkeypatch):
    """Result, gradients and buffers, in a copy of the net."""
    monkeypatch.setattr(norm_act, "LARGE", large)
    net = copy.deepcopy(net)
    x = x.detach().requires_grad_()
    y = net(x)
    y.square().sum().backward()
    return [y.detach(), x.grad, *(weight.grad for weight in net.parameters()), *net.buffers()]


@pytest.mark.parametrize("slope", [0.2, 0.0])
def test_it_is_batch_norm_and_leaky_relu(slope, monkeypatch):
    x = 2 * torch.randn(2, 3, 6, 5, dtype=torch.float64) + 1
    ours, theirs = NormAct(3, slope).double(), nn.Sequential(nn.BatchNorm2d(3), nn.LeakyReLU(slope)).double()
    expected = fitted(theirs, x, 0, monkeypatch)
    for large in (0, 2**26):
        torch.testing.assert_close(fitted(ours, x, large, monkeypatch), expected)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_before_every_kind_of_convolution(dtype, tolerance, monkeypatch):
    torch.manual_seed(0)
    net = nn.Sequential(Conv(3, 6, 3, "reflection"), NormAct(6, 0.2), Conv(6, 5, 1), NormAct(5, 0.0),
                        Conv(5, 4, 3, "reflection"), NormAct(4, 0.2), Conv(4, 2, 3, "zero", 2))
    net = net.to(dtype).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 40, 8, dtype=dtype).to(memory_format=torch.channels_last)  # three bands of rows
    kept, again = (fitted(net, x, large, monkeypatch) for large in (2**26, 0))
    torch.testing.assert_close(again, kept, rtol=tolerance, atol=tolerance)


def test_a_large_map_is_kept_once(monkeypatch):
    monkeypatch.setattr(norm_act, "LARGE", 0)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = Conv(4, 4, 1)(NormAct(4, 0.2)(x))
    y.sum().backward()
    maps = [tensor for tensor in kept.values() if tensor.shape == x.shape]
    assert len(maps) == 1 and maps[0].data_ptr() == x.data_ptr()
    assert x.grad.isfinite().all()
