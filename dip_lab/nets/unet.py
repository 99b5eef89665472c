"""The U-Net of the Deep Image Prior code, after https://arxiv.org/abs/1505.04597."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import flag, integer, one_of
from dip_lab.nets.blocks import PADDINGS, UPSAMPLINGS, ToImage
from dip_lab.nets.convolution import Conv

WIDTHS = (64, 128, 256, 512, 1024)
NORMS: Mapping[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}


class UNet(nn.Module):
    """Five levels of double 3x3 convolutions joined by full-width concatenation; norms in the encoder only.

    `more_layers` adds levels of the largest width. With `concat_x` each encoder level spends `in_channels` of
    its width on the average-pooled latent. Instance norms have no weights here, as published.

    Raises:
        ValueError: a value is out of its range, or `concat_x` leaves a level without features of its own.

    >>> net = UNet(1, 3, 16, 0, False, "instance", "deconv", "zero")
    >>> net(torch.zeros(1, 1, 32, 64)).shape
    torch.Size([1, 3, 32, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        feature_scale: int,
        more_layers: int,
        concat_x: bool,
        norm: str,
        upsample: str,
        padding: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        scale = integer("net.feature_scale", feature_scale, 1, WIDTHS[0])
        more = integer("net.more_layers", more_layers, 0, 4)
        norm = one_of("net.norm", norm, NORMS)
        upsample = one_of("net.upsample", upsample, ("deconv", *UPSAMPLINGS))
        padding = one_of("net.padding", padding, PADDINGS)
        self.concat_x = flag("net.concat_x", concat_x)
        widths = [w // scale for w in WIDTHS] + [WIDTHS[-1] // scale] * more
        taken = in_channels if concat_x else 0
        if taken >= widths[0]:
            raise ValueError(
                f"net.concat_x=true: the latent's {in_channels} channels fill the first level's {widths[0]} "
                f"(64 / net.feature_scale); lower net.feature_scale or take a thinner latent"
            )

        self.stride = 2 ** (len(widths) - 1)
        self.min_size = 2 * self.stride  # the norms of a single pixel are undefined
        levels = list(zip(widths[:-1], widths[1:], strict=True))
        self.start = double_conv(in_channels, widths[0] - taken, padding, norm)
        self.pool = nn.MaxPool2d(2)
        self.downs = nn.ModuleList(double_conv(a, b - taken, padding, norm) for a, b in levels)
        self.ups = nn.ModuleList(Up(b, a, upsample, padding) for a, b in levels)
        self.head = Conv(widths[0], out_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        levels = [self.with_input(self.start(z), z)]
        for down in self.downs:
            levels.append(self.with_input(down(self.pool(levels[-1])), z))
        x = levels.pop()
        for up in reversed(self.ups):
            x = up(x, levels.pop())
        return self.to_image(self.head(x))

    def with_input(self, features: Tensor, z: Tensor) -> Tensor:
        """With `concat_x`, the features and the latent averaged down to their size."""
        if not self.concat_x:
            return features
        pooled = F.avg_pool2d(z, z.shape[-1] // features.shape[-1])
        return torch.cat((features, pooled.to(features.dtype)), 1)


class Up(nn.Module):
    """Double the size, concatenate the encoder's features of that size, two convolutions without norm."""

    def __init__(self, in_channels: int, out_channels: int, upsample: str, padding: str):
        super().__init__()
        if upsample == "deconv":
            self.up = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
        else:
            self.up = nn.Sequential(
                nn.Upsample(scale_factor=2, mode=upsample), Conv(in_channels, out_channels, 3, padding)
            )
        self.convs = double_conv(2 * out_channels, out_channels, padding, None)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        return self.convs(torch.cat((self.up(x), features), 1))


def double_conv(in_channels: int, out_channels: int, padding: str, norm: str | None) -> nn.Sequential:
    """Twice: 3x3 convolution, norm if any, ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(Conv(channels, out_channels, 3, padding))
        if norm is not None:
            layers.append(NORMS[norm](out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
