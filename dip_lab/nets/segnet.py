"""SegNet as an image generator, after https://arxiv.org/abs/1511.00561."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import (
    PADDINGS,
    ToImage,
    listed,
    max_unpool,
    norm_act,
)
from dip_lab.nets.convolution import Conv

POOLINGS = ("max_indices", "stride")


class SegNet(nn.Module):
    """A VGG-like encoder and its mirror image; the decoder gets the positions of the maxima but no features.

    `channels` has one width per stage, outermost first. With `pooling` "max_indices" each stage ends in a 2x2
    max-pooling whose indices put the values back in place on the way up. With "stride" a strided convolution and
    a bilinear upsampling replace them, and only the deepest map joins encoder and decoder.

    Raises:
        ValueError: a value is out of its range.

    >>> import torch
    >>> SegNet(2, 3, [8, 8], 1, "max_indices", "zero")(torch.zeros(1, 2, 8, 16)).shape
    torch.Size([1, 3, 8, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        convs: int,
        pooling: str,
        padding: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        widths = [integer("net.channels", c, 1) for c in listed("net.channels", channels)]
        convs = integer("net.convs", convs, 1)
        padding = one_of("net.padding", padding, PADDINGS)
        self.pooling = one_of("net.pooling", pooling, POOLINGS)
        self.stride = 2 ** len(widths)
        # The deepest map that is convolved must be 2 px wide; what the last max-pooling makes is unpooled first.
        self.min_size = 2 * self.stride if pooling == "stride" else self.stride

        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for outer, width in zip([in_channels, *widths[:-1]], widths, strict=True):
            self.encoder.append(stage([outer] + [width] * convs, padding))
        for width, outer in zip(widths, [widths[0], *widths[:-1]], strict=True):
            self.decoder.append(stage([width] * convs + [outer], padding))
        strided = widths if pooling == "stride" else []
        self.halve = nn.ModuleList(stage([width, width], padding, stride=2) for width in strided)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = Conv(widths[0], out_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = z
        if self.pooling == "stride":
            for convs, halve in zip(self.encoder, self.halve, strict=True):
                x = halve(convs(x))
            for convs in reversed(self.decoder):
                x = convs(self.upsample(x))
            return self.to_image(self.head(x))
        places = []
        for convs in self.encoder:
            x, indices = F.max_pool2d(convs(x), 2, return_indices=True)
            places.append(indices)
        for convs in reversed(self.decoder):
            x = convs(max_unpool(x, places.pop()))
        return self.to_image(self.head(x))


def stage(widths: list[int], padding: str, stride: int = 1) -> nn.Sequential:
    """3x3 convolutions from width to width, each with batch-norm and ReLU."""
    layers: list[nn.Module] = []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        layers += [Conv(before, after, 3, padding, stride=stride), *norm_act(after, "relu")]
    return nn.Sequential(*layers)
