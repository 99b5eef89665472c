"""Deep Decoder, ConvDecoder and the texture network against their descriptions."""

import pytest
import torch
import torch.nn.functional as F

from dip_lab.nets.conv_decoder import ConvDecoder
from dip_lab.nets.deep_decoder import DeepDecoder
from dip_lab.nets.texture_net import TextureNet


def test_deep_decoder_is_its_published_layers():
    net = DeepDecoder(4, 3, 8, 3, "bilinear", "batch", "relu").double()
    z = torch.rand(1, 4, 3, 2, dtype=torch.float64)
    convs = [layer for layer in net.layers if isinstance(layer, torch.nn.Conv2d)]
    x = z
    for i, conv in enumerate(convs):
        # The paper upsamples before the convolution; the two commute.
        x = F.interpolate(x, scale_factor=2, mode="bilinear") if i < 2 else x
        x = F.relu(F.conv2d(x, conv.weight))
        x = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(net(z), torch.sigmoid(F.conv2d(x, net.head.weight)))


def test_conv_decoder_grows_by_the_same_factor_each_time(monkeypatch):
    net = ConvDecoder(4, 3, 8, 8, 64, "nearest", "batch", "relu", "zero")
    heights = []
    for layer in net.layers:
        layer.register_forward_hook(lambda module, args, out: heights.append(out.shape[2]))
    assert net(torch.rand(1, 4, 2, 3)).shape == (1, 3, 128, 192)
    assert heights == [4, 7, 12, 22, 39, 71, 128, 128]


def test_conv_decoder_has_about_the_published_number_of_parameters():
    with torch.device("meta"):
        net = ConvDecoder(160, 2, 160, 8, 64, "nearest", "batch", "relu", "zero")
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 1.85


def test_texture_net_sees_each_level_of_the_pyramid():
    net = TextureNet(2, 3, 4, [4, 2, 1], "nearest", "none", "leaky_relu", "zero").double()
    seen = {}
    for i, branch in enumerate(net.branches):
        branch.register_forward_hook(lambda module, args, out, i=i: seen.update({i: args[0]}))
    z = torch.rand(1, 2, 8, 12, dtype=torch.float64)
    net(z)
    for i, ratio in enumerate((4, 2, 1)):
        torch.testing.assert_close(seen[i], F.avg_pool2d(z, ratio))


@pytest.mark.parametrize("ratios", [[4, 1], [4, 2], [3, 1], [1, 2]])
def test_a_pyramid_with_a_step_missing_is_refused(ratios):
    with pytest.raises(ValueError, match=r"net\.ratios=.*halve down to 1"):
        TextureNet(2, 3, 4, ratios, "nearest", "batch", "leaky_relu", "zero")


@pytest.mark.parametrize(("make", "words"), [
    (lambda: DeepDecoder(4, 3, 8, 1, "bilinear", "batch", "relu"), "net.layers=1"),
    (lambda: DeepDecoder(4, 3, 8, 3, "cubic", "batch", "relu"), "net.upsample=cubic"),
    (lambda: ConvDecoder(4, 3, 8, 3, 1, "nearest", "batch", "relu", "zero"), "net.upscale=1"),
    (lambda: ConvDecoder(4, 3, 8, 3, 8, "nearest", "layer", "relu", "zero"), "net.norm=layer"),
])  # fmt: skip
def test_wrong_values_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
