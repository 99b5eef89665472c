"""Our convolution against autograd's own, in float64 and by both ways of making the weight gradient."""

import pytest
import torch
import torch.nn.functional as F

from dip_lab.nets import convolution
from dip_lab.nets.convolution import Conv, reflect_pad, reflect_pad_backward, weight_gradient

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("padding", ["reflection", "zero"])
@pytest.mark.parametrize("kernel, stride", [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)])
def test_result_and_gradients_are_autograd_s(kernel, stride, padding, layout, monkeypatch):
    layer = Conv(3, 4, kernel, padding, stride).double()
    x = torch.randn(2, 3, 10, 12, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    inputs = [x, layer.weight, layer.bias]
    pad, mode = kernel // 2, "reflect" if padding == "reflection" else "constant"
    expected = F.conv2d(F.pad(x, (pad,) * 4, mode=mode), layer.weight, layer.bias, stride)
    factor = torch.randn_like(expected)
    gradients = torch.autograd.grad((expected * factor).sum(), inputs)
    monkeypatch.setattr(convolution, "LARGE", 0)
    for products in (False, True):
        monkeypatch.setattr(convolution, "by_products", lambda *maps, products=products: products)
        ours = layer(x)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
        for mine, theirs in zip(torch.autograd.grad((ours * factor).sum(), inputs), gradients, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-11)


def test_matrix_products_are_for_large_float32_maps_of_avx2_alone(monkeypatch):
    monkeypatch.setattr(convolution, "capability", lambda: "AVX2")
    large, small, kernel = torch.empty(1, 128, 64, 64), torch.empty(1, 128, 32, 32), torch.empty(4, 128, 3, 3)
    assert convolution.by_products(large, large, kernel)
    assert not convolution.by_products(small, small, kernel)
    assert not convolution.by_products(large.bfloat16(), large, kernel)
    assert not convolution.by_products(large, large, kernel[..., :1, :1])
    monkeypatch.setattr(convolution, "capability", lambda: "AVX512")
    assert not convolution.by_products(large, large, kernel)


def test_float32_products_agree_with_float64():
    x, gradient = torch.randn(1, 8, 42, 30), torch.randn(1, 6, 40, 28)  # several bands, the last one smaller
    weight = torch.empty(6, 8, 3, 3)
    mine = weight_gradient(x, gradient, weight, 1)
    exact = weight_gradient(x.double(), gradient.double(), weight.double(), 1)
    torch.testing.assert_close(mine.double(), exact, rtol=0, atol=1e-4)


def test_autocast_convolves_in_bfloat16_and_leaves_the_gradients_in_float32():
    layer = Conv(3, 4, 3, "reflection")
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert x.grad.dtype == layer.weight.grad.dtype == layer.bias.grad.dtype == torch.float32


@pytest.mark.parametrize("pad", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_backward_of_the_padding_is_torch_s(pad, layout):
    x = torch.randn(2, 3, pad + 1, 7, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    padded = reflect_pad(x, pad)
    factor = torch.randn_like(padded)
    expected, = torch.autograd.grad((padded * factor).sum(), x)
    mine = reflect_pad_backward(factor, pad)
    torch.testing.assert_close(mine, expected)
    assert mine.is_contiguous(memory_format=layout)
