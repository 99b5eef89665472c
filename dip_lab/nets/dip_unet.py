"""A small U-Net as an image generator, after https://arxiv.org/abs/1505.04597."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, NORMS, PADDINGS, UPSAMPLINGS, ToImage, listed, norm_act
from dip_lab.nets.convolution import Conv

DOWNSAMPLINGS: Mapping[str, Callable[[], nn.Module]] = {"max": lambda: nn.MaxPool2d(2), "avg": lambda: nn.AvgPool2d(2)}


class DIPUNet(nn.Module):
    """Encoder and decoder of double 3x3 convolutions, joined at each level by full-width concatenation.

    Unlike `UNet`, the published one, it has norms in the decoder too, and one level for each width in `channels`.

    Raises:
        ValueError: a value is out of its range.

    >>> net = DIPUNet(2, 3, [4, 8], "max", "nearest", "batch", "relu", "zero")
    >>> net(torch.zeros(1, 2, 4, 8)).shape
    torch.Size([1, 3, 4, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        downsample: str,
        upsample: str,
        norm: str,
        activation: str,
        padding: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        widths = [integer("net.channels", c, 1) for c in listed("net.channels", channels)]
        norm = one_of("net.norm", norm, NORMS)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        padding = one_of("net.padding", padding, PADDINGS)
        upsample = one_of("net.upsample", upsample, UPSAMPLINGS)

        def double(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                Conv(inputs, outputs, 3, padding),
                *norm_act(outputs, activation, norm),
                Conv(outputs, outputs, 3, padding),
                *norm_act(outputs, activation, norm),
            )

        self.stride = 2 ** (len(widths) - 1)
        self.min_size = 2 * self.stride  # the norms of a single pixel are undefined
        self.encoder = nn.ModuleList(double(a, b) for a, b in zip([in_channels, *widths], widths, strict=False))
        self.decoder = nn.ModuleList(double(a + b, a) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.down = DOWNSAMPLINGS[one_of("net.downsample", downsample, DOWNSAMPLINGS)]()
        self.up = nn.Upsample(scale_factor=2, mode=upsample)
        self.head = Conv(widths[0], out_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        first, *deeper = self.encoder
        levels = [first(z)]
        for convs in deeper:
            levels.append(convs(self.down(levels[-1])))
        x = levels.pop()
        for convs in reversed(self.decoder):
            x = convs(torch.cat((levels.pop(), self.up(x)), 1))
        return self.to_image(self.head(x))
