"""The generator of adversarial training and its discriminator: what a fit and a training must have in common."""

import pytest
import torch

from dip_lab.nets.dcgan import DCGAN, normed
from dip_lab.nets.discriminators import PatchGAN
from dip_lab.nets.gated_unet import Gated, GatedUNet


def test_a_generator_does_the_same_in_a_training_and_a_fit():
    net = DCGAN(5, 3, 4)
    z = torch.randn(3, 5, 4, 4)
    assert torch.equal(net.train()(z), net.eval()(z))
    assert torch.allclose(net(z)[1:2], net(z[1:2]), atol=1e-6)  # no statistics of the batch
    assert not list(net.buffers())


def test_only_the_direction_of_the_latent_counts():
    net, z = DCGAN(5, 3, 4), torch.randn(1, 5, 2, 2)
    assert torch.allclose(net(z), net(0.1 * z), atol=1e-5)
    assert torch.allclose(normed(z).square().mean(1), torch.ones(1, 2, 2), atol=1e-4)


def test_a_larger_latent_makes_a_larger_picture():
    assert DCGAN(5, 1, 4)(torch.randn(2, 5, 3, 7)).shape == (2, 1, 48, 112)


@pytest.mark.parametrize("layers, size", [(1, 32), (4, 64), (4, 96)])
def test_the_scores_of_a_discriminator_are_local(layers, size):
    net = PatchGAN(4, 4, layers)
    scores = net(torch.rand(2, 4, size, size))
    assert scores.shape == (2, 1, size >> layers, size >> layers)


def test_its_layers_have_spectral_norm_one():
    net = PatchGAN(4, 8, 2)
    for _ in range(30):
        net(torch.rand(1, 4, 16, 16))
    for layer in (*net.layers, net.head):
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2) == pytest.approx(1, abs=0.05)
    net.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net(torch.rand(1, 4, 16, 16))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_gate_can_shut_a_pixel_out():
    layer = Gated(2, 3, 3)
    with torch.no_grad():
        layer.conv.bias[3:] = -100
    assert layer(torch.rand(1, 2, 8, 8)).abs().max() < 1e-20


def test_the_gated_network_sees_far():
    net = GatedUNet(4, 3, 4, [2, 4, 8, 2])
    x = torch.rand(1, 4, 128, 128, requires_grad=True)
    net(x)[0, :, 64, 64].sum().backward()
    seen = (x.grad[0].abs().sum(0)[64] > 0).nonzero().flatten()
    assert seen.min() <= 64 - 60 and seen.max() >= 64 + 60
    assert sum(weight.numel() for weight in GatedUNet(4, 3, 24, [2, 4, 8, 2]).parameters()) == 971_019


@pytest.mark.parametrize("make, said", [
    (lambda: GatedUNet(4, 3, 0, [2]), "net.width=0"), (lambda: GatedUNet(4, 3, 8, []), "net.dilations"),
    (lambda: GatedUNet(4, 3, 8, [0]), "net.dilations=0"), (lambda: DCGAN(4, 3, 1), "net.width=1"),
    (lambda: PatchGAN(4, 0, 2), "objective.discriminator.width=0")])
def test_values_that_cannot_work(make, said):
    with pytest.raises(ValueError, match=said):
        make()
