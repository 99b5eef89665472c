import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dip_lab.build import build_net
from dip_lab.compose import compose
from dip_lab.nets.convolution import Conv
from dip_lab.video.volume import over_time


@pytest.mark.parametrize("padding, mode", [("zero", "constant"), ("reflection", "reflect")])
@pytest.mark.parametrize("stride", [1, 2])
def test_it_is_a_three_dimensional_convolution(padding, mode, stride):
    layer = Conv(2, 4, 3, padding, stride).double()
    net = nn.Sequential(layer)
    over_time(net)
    frames = torch.randn(5, 2, 8, 10, dtype=torch.float64)
    volume = frames.transpose(0, 1)[None]  # (1, C, T, H, W)
    inside = F.pad(volume, (1, 1, 1, 1, 0, 0), mode="constant") if mode == "constant" else torch.stack(
        [F.pad(frame, (1, 1, 1, 1), mode=mode) for frame in frames], 1)[None].transpose(1, 2).transpose(1, 2)
    if mode == "reflect":
        inside = torch.stack([F.pad(frame[None], (1,) * 4, mode=mode)[0] for frame in frames], 1)[None]
    inside = torch.cat((inside[:, :, :1], inside, inside[:, :, -1:]), 2)  # the end frames, once more
    kernel = layer.weight.unflatten(1, (3, 2)).transpose(1, 2)  # (out, 3 in, k, k) -> (out, in, 3, k, k)
    expected = F.conv3d(inside, kernel, layer.bias, stride=(1, stride, stride))[0].transpose(0, 1)
    assert torch.allclose(net(frames), expected)


def test_small_and_grouped_ones_stay():
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 3, padding=1))
    before = copy.deepcopy(net)
    over_time(net)
    assert [layer.in_channels for layer in net] == [4, 4, 12]
    assert torch.equal(net[0].weight, before[0].weight) and torch.equal(net[1].weight, before[1].weight)


def test_a_frame_sees_its_neighbours_and_no_others():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))
    over_time(net)
    frames = torch.zeros(7, 1, 4, 4, requires_grad=True)
    net(frames)[3].sum().backward()
    assert [bool(frame.any()) for frame in frames.grad] == [False, False, True, True, True, False, False]


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(ValueError, match=r"^video.kernel=3: Siren has no convolution .*: use video=shared$"):
        build_net(compose(["net=siren", "latent=coordinates", "net.width=4"]), 2, 3, 3)
