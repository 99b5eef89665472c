"""CvT as an image generator, after https://arxiv.org/abs/2103.15808."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ToImage, listed, norm_act, per_scale
from dip_lab.nets.convolution import Conv
from dip_lab.nets.transformer import ENLARGEMENTS, Block, enlarge


class CvT(nn.Module):
    """A convolutional vision transformer and its mirror image, joined at each scale by full-width concatenation.

    `channels`, `depths` and `heads` have one value per scale, outermost (full size) first; a scale of depth 0 has
    convolutions alone. Tokens are the pixels of overlapping 3x3 convolutions of stride 2; there is no class token
    and no positional embedding, as published. Unlike in the published network, batch-norm and swish follow the
    embeddings, the convolutions of the attention have no bias (their norms have one), and the number of keys is
    bounded, see `Attention`.

    Raises:
        ValueError: a value is out of its range, or `heads` do not divide `channels`.

    >>> net = CvT(2, 3, [4, 8], [0, 1], [1, 2], 2, 16, "pixelshuffle")
    >>> net(torch.zeros(1, 2, 4, 8)).shape
    torch.Size([1, 3, 4, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        mlp_ratio: int,
        kv_side: int,
        upsample: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        widths = [integer("net.channels", c, 1) for c in listed("net.channels", channels)]
        depths = [integer("net.depths", d, 0) for d in per_scale("net.depths", depths, len(widths))]
        heads = [integer("net.heads", h, 1) for h in per_scale("net.heads", heads, len(widths))]
        if any(width % h for width, h in zip(widths, heads, strict=True)):
            raise ValueError(f"net.heads={heads}: each must divide its scale's width of net.channels={widths}")
        mlp_ratio = integer("net.mlp_ratio", mlp_ratio, 1)
        kv_side = integer("net.kv_side", kv_side, 2)  # a single key would make attention a constant
        upsample = one_of("net.upsample", upsample, ENLARGEMENTS)

        def stage(inputs: int, scale: int, stride: int = 1) -> nn.Sequential:
            width = widths[scale]
            return nn.Sequential(
                Conv(inputs, width, 3, "reflection", stride=stride, bias=False),
                *norm_act(width, "swish"),
                *(Block(Attention(width, heads[scale], kv_side), width, mlp_ratio) for _ in range(depths[scale])),
            )

        inner = range(len(widths) - 1)
        self.stride = 2 ** len(inner)
        self.min_size = 2 * self.stride  # the norm of a single pixel is undefined
        self.stem = stage(in_channels, 0)
        self.encoder = nn.ModuleList(stage(widths[i], i + 1, stride=2) for i in inner)
        self.up = nn.ModuleList(enlarge(widths[i + 1], widths[i], 2, upsample) for i in inner)
        self.decoder = nn.ModuleList(stage(2 * widths[i], i) for i in inner)
        self.head = Conv(widths[0], out_channels, 3, "reflection")

    def forward(self, z: Tensor) -> Tensor:
        levels = [self.stem(z)]
        for stage in self.encoder:
            levels.append(stage(levels[-1]))
        x = levels.pop()
        for up, stage in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = stage(torch.cat((levels.pop(), up(x)), 1))
        return self.to_image(self.head(x))


class Attention(nn.Module):
    """Multi-head self-attention of a map; keys and values come from the map averaged down to at most `kv_side` a side.

    The cost therefore grows with the number of pixels. In the published code, which keeps one key in four, it grows
    with the square of that number. Scores are divided by the square root of one head's width; the published code
    takes the width of the whole map.
    """

    def __init__(self, width: int, heads: int, kv_side: int):
        super().__init__()
        self.heads = heads
        self.kv_side = kv_side
        self.query, self.key, self.value = (projection(width) for _ in range(3))
        self.mix = Conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduced(x)
        q, k, v = (self.tokens(y) for y in (self.query(x), self.key(reduced), self.value(reduced)))
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.mix(out.mT.unflatten(2, x.shape[2:]))

    def reduced(self, x: Tensor) -> Tensor:
        """(N, C, H, W) averaged by the smallest whole factors that leave at most `kv_side` rows and columns."""
        factors = [math.ceil(side / self.kv_side) for side in x.shape[2:]]
        return x if max(factors) == 1 else F.avg_pool2d(x, factors, ceil_mode=True)

    def tokens(self, x: Tensor) -> Tensor:
        """(N, C, H, W) as (N, heads, H W, C / heads)."""
        return x.unflatten(1, (self.heads, -1)).flatten(3).mT


def projection(width: int) -> nn.Sequential:
    """The layers that make CvT's queries, keys or values; zero padding takes the place of a positional embedding."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
        nn.BatchNorm2d(width),
        Conv(width, width, 1, bias=False),
    )
