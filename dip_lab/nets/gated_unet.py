"""A small U-Net of gated convolutions, https://arxiv.org/abs/1806.03589, which learn where a picture is known."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer
from dip_lab.nets.blocks import ToImage, listed
from dip_lab.nets.convolution import Conv


class Gated(nn.Module):
    """ELU(features) * sigmoid(gate), both from one convolution of (N, C, H, W): a mask that is learnt and soft."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        if dilation == 1:
            self.conv = Conv(inputs, 2 * outputs, kernel, stride=stride)
        else:
            self.conv = nn.Conv2d(inputs, 2 * outputs, kernel, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        features, gate = self.conv(x).chunk(2, 1)
        return F.elu(features) * torch.sigmoid(gate)


class GatedUNet(nn.Module):
    """Two halvings, dilated layers at a quarter of the size, and back with the encoder's maps beside.

    As in DeepFill v2 no layer has a norm, whose statistics would mix the hole with what is known; contextual attention
    and the second network of the paper are left out.

    Raises:
        ValueError: a value is out of its range.

    >>> GatedUNet(4, 3, 4, [2, 4])(torch.zeros(1, 4, 16, 20)).shape
    torch.Size([1, 3, 16, 20])
    """

    stride = 4
    min_size = 4

    def __init__(self, in_channels: int, out_channels: int, width: int, dilations: list[int]):
        super().__init__()
        w = integer("net.width", width, 1)
        rates = [integer("net.dilations", rate, 1) for rate in listed("net.dilations", dilations)]
        self.first = Gated(in_channels, w, 5)
        self.halved = nn.Sequential(Gated(w, 2 * w, 3, stride=2), Gated(2 * w, 2 * w, 3))
        self.quartered = nn.Sequential(Gated(2 * w, 4 * w, 3, stride=2),
                                     *(Gated(4 * w, 4 * w, 3, dilation=rate) for rate in rates))
        self.up_first = Gated(4 * w + 2 * w, 2 * w, 3)
        self.up_last = Gated(2 * w + w, w, 3)
        self.head = Conv(w, out_channels, 3)
        self.to_image = ToImage()

    def forward(self, z: Tensor) -> Tensor:
        whole = self.first(z)
        half = self.halved(whole)
        x = self.up_first(torch.cat((_doubled(self.quartered(half)), half), 1))
        x = self.up_last(torch.cat((_doubled(x), whole), 1))
        return self.to_image(self.head(x))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
