"""A restorer takes any size, subtracts what its network makes, and sees the same in tiles."""

import pytest
import torch
from torch import nn

from dip_lab.nets.dncnn import DnCNN
from dip_lab.nets.ffdnet import FFDNet
from dip_lab.nets.patch_mlp import PatchMLP
from dip_lab.nets.pixelcnn import PixelCNN
from dip_lab.training.restorer import Restorer

pytestmark = pytest.mark.usefixtures("one_thread")


def ffdnet(channels: int = 1, maps: int = 0) -> FFDNet:
    torch.manual_seed(0)
    return FFDNet(channels + maps, channels, 4, 3, True, "none", "relu", "zero")


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (3, 17)])
def test_any_size_comes_back(size):
    image = Restorer(ffdnet(3, 1), 3, True)(torch.rand(2, 4, *size))
    assert image.shape == (2, 3, *size)


def test_a_residual_network_of_zeros_leaves_the_observation():
    net = ffdnet()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    inputs = torch.rand(1, 1, 9, 8)
    assert torch.equal(Restorer(net, 1, True)(inputs), inputs)
    direct = Restorer(ffdnet(), 1, False)
    for parameter in direct.net.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(direct(inputs), torch.full_like(inputs, 0.5))  # the sigmoid of 0


def test_what_was_clipped_in_training_is_clipped_later():
    restorer = Restorer(ffdnet(), 1, True, clipped=True)
    inputs = 3 * torch.rand(1, 1, 8, 8) - 1
    assert torch.equal(restorer(inputs), restorer(inputs.clamp(0, 1)))


def test_tiles_see_what_the_whole_picture_shows():
    restorer = Restorer(DnCNN(2, 1, 4, 4, True, "none", "relu", "zero"), 1, True).eval()
    inputs = torch.rand(1, 2, 41, 30)
    torch.testing.assert_close(restorer.tiled(inputs, 24, 6), restorer(inputs))


def test_a_network_of_pictures_only_has_no_residual():
    with pytest.raises(ValueError, match="restorer.residual=false"):
        Restorer(PixelCNN(1, 1, 4, 1, 3, 3, 8), 1, True)


def test_overlapping_patches_are_averaged():
    net = PatchMLP(1, 1, 5, 4, 1, 2, "relu")
    nn.init.zeros_(net.last.weight)
    nn.init.zeros_(net.last.bias)
    net.last.bias.data += 1.0  # each patch adds its weights' sum, and the bias counts once
    net.to_image = nn.Identity()
    nn.init.ones_(net.last.weight)
    nn.init.zeros_(net.first[0].weight)
    nn.init.ones_(net.first[0].bias)
    made = net(torch.rand(1, 1, 9, 12))  # every patch is 4 everywhere
    assert made.shape == (1, 1, 9, 12)
    assert made.std() < made.mean()
