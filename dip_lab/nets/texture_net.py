"""The generator of Texture Networks, https://arxiv.org/abs/1603.03417, as in the Deep Image Prior code."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, NORMS, PADDINGS, UPSAMPLINGS, ToImage, listed, norm_act
from dip_lab.nets.convolution import Conv


class TextureNet(nn.Module):
    """A pyramid of the latent, each level convolved on its own and merged into the next finer one.

    The latent is averaged down by each of `ratios`, coarsest first. A level's branch has `width` channels; the merged
    map grows by `width` with each level. Both sides of a merge are normalised before they are concatenated.

    Raises:
        ValueError: a value is out of its range, or the ratios do not end in 1 or do not halve from one to the next.

    >>> net = TextureNet(2, 3, 4, [2, 1], "nearest", "batch", "leaky_relu", "zero")
    >>> net(torch.zeros(1, 2, 4, 8)).shape
    torch.Size([1, 3, 4, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        ratios: Sequence[int],
        upsample: str,
        norm: str,
        activation: str,
        padding: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        self.ratios = [integer("net.ratios", ratio, 1) for ratio in listed("net.ratios", ratios)]
        if self.ratios != [2**i for i in reversed(range(len(self.ratios)))]:
            raise ValueError(f"net.ratios={self.ratios}: give powers of 2 that halve down to 1, such as [8,4,2,1]")
        norm = one_of("net.norm", norm, NORMS)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        padding = one_of("net.padding", padding, PADDINGS)
        upsample = one_of("net.upsample", upsample, UPSAMPLINGS)

        def convs(inputs: int, outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for kernel in (3, 3, 1):
                layers += [Conv(inputs, outputs, kernel, padding), *norm_act(outputs, activation, norm)]
                inputs = outputs
            return nn.Sequential(*layers)

        self.stride = self.ratios[0]
        self.min_size = 2 * self.stride  # reflection by 1 px and norms need 2
        merged = [width * (i + 1) for i in range(len(self.ratios))]
        self.branches = nn.ModuleList(convs(in_channels, width) for _ in self.ratios)
        self.norms = nn.ModuleList(
            nn.ModuleList((NORMS[norm](coarse), NORMS[norm](width))) for coarse in merged[:-1]
        )
        self.merges = nn.ModuleList(convs(channels, channels) for channels in merged[1:])
        self.up = nn.Upsample(scale_factor=2, mode=upsample)
        self.head = Conv(merged[-1], out_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        levels = [branch(F.avg_pool2d(z, ratio)) for branch, ratio in zip(self.branches, self.ratios, strict=True)]
        x = levels[0]
        for level, (coarse, fine), merge in zip(levels[1:], self.norms, self.merges, strict=True):
            x = merge(torch.cat((coarse(self.up(x)), fine(level)), 1))
        return self.to_image(self.head(x))
