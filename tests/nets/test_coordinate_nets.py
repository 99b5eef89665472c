"""SIREN, WIRE and the MLP against their papers' formulas."""

import math

import pytest
import torch

from dip_lab.latents.meshgrid import meshgrid
from dip_lab.nets.mlp import MLP
from dip_lab.nets.siren import Siren
from dip_lab.nets.wire import Wire

Z = meshgrid(5, 7)[None]


def test_siren_draws_as_published():
    net = Siren(2, 3, 256, 3, 30, 30)
    bounds = [0.5, *[math.sqrt(6 / 256) / 30] * 4]
    for layer, bound in zip((net.first, *net.hidden, net.head), bounds, strict=True):
        assert 0.95 * bound < float(layer.weight.detach().abs().max()) <= bound
    # The paper's claim: the arguments of the inner sines are about N(0, 1), whatever the depth.
    x = torch.sin(30 * net.first(2 * meshgrid(64, 64)[None] - 1))
    for layer in net.hidden:
        weighted = layer(x) - layer.bias[:, None, None]
        assert 0.7 < float((30 * weighted).detach().std()) < 1.4
        x = torch.sin(30 * layer(x))


def test_siren_is_its_formula():
    net = Siren(2, 3, 4, 1, 30, 20).double()
    pixel = 2 * Z[0, :, 3, 4].double() - 1
    hidden = torch.sin(30 * (net.first.weight[:, :, 0, 0] @ pixel + net.first.bias))
    hidden = torch.sin(20 * (net.hidden[0].weight[:, :, 0, 0] @ hidden + net.hidden[0].bias))
    expected = torch.sigmoid(net.head.weight[:, :, 0, 0] @ hidden + net.head.bias)
    torch.testing.assert_close(net(Z.double())[0, :, 3, 4], expected)


def test_wire_is_its_complex_formula():
    net = Wire(2, 3, 4, 1, 5, 4).double()
    pixel = (2 * Z[0, :, 3, 4] - 1).double()
    x = (net.first.weight[:, :, 0, 0] @ pixel + net.first.bias).to(torch.complex128)
    for layer in (*net.hidden, net.head):
        x = torch.exp(1j * 5 * x - (4 * x).abs().square())
        bias = torch.complex(*layer.bias.chunk(2))
        x = torch.complex(layer.real, layer.imaginary)[:, :, 0, 0] @ x + bias
    torch.testing.assert_close(net(Z.double())[0, :, 3, 4], torch.sigmoid(x.real))


def test_the_frequencies_of_the_mlp_are_not_fitted():
    net = MLP(2, 3, 16, 2, 4096, 10, "relu")
    frequencies = net.features.weight / (2 * math.pi)
    assert float(frequencies.detach().std()) == pytest.approx(10, rel=0.05)
    assert not any(p is net.features.weight for p in net.parameters()) and "features.weight" in net.state_dict()


@pytest.mark.parametrize("make", [lambda: Siren(2, 3, 8, 1, 30, 30), lambda: Wire(2, 3, 8, 1, 20, 10),
                                  lambda: MLP(2, 3, 8, 1, 16, 10, "relu")], ids=["siren", "wire", "mlp"])
def test_bf16_tells_neighbouring_columns_of_a_large_picture_apart(make):
    net, z = make(), meshgrid(1, 1024)[None]
    exact = net(z)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = net(z)
    # If the coordinates were rounded to 8 bits, whole runs of columns would be equal.
    assert float((rounded[0, :, 0, 1:] == rounded[0, :, 0, :-1]).all(0).float().mean()) < 0.3
    assert float((rounded - exact).detach().abs().max()) < 0.05


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Siren(2, 3, 8, 1, 0, 30), "net.first_omega=0"),
    (lambda: Siren(2, 3, 8, -1, 30, 30), "net.layers=-1"),
    (lambda: Wire(2, 3, 8, 1, 5, -1), "net.sigma=-1"),
    (lambda: MLP(2, 3, 8, 1, 16, 0, "relu"), "net.scale=0"),
    (lambda: MLP(2, 3, 8, 1, 0, 10, "relu"), "net.frequencies=0"),
    (lambda: MLP(2, 3, 8, 1, 16, 10, "gelu"), "net.activation=gelu"),
])  # fmt: skip
def test_wrong_values_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
