"""The gated PixelCNN as an image generator and as a density, after https://arxiv.org/abs/1606.05328."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer
from dip_lab.nets.blocks import kernel_size


class PixelCNN(nn.Module):
    """Every output sees nothing but what comes before it: rows above, pixels to the left, and lower channels.

    The last convolution gives `levels` logits per channel and pixel, level k standing for k / (levels - 1). The
    image is the expected value of their softmax, as the most likely level has no gradient.

    Channels are ordered as well: in a map of n features, feature j belongs to channel j * out_channels // n, and a
    latent of any depth is divided in the same way. Within its own pixel, a channel sees only lower channels.

    There is no normalisation layer: its statistics would let every output see every pixel.

    Raises:
        ValueError: a value is out of its range.

    >>> PixelCNN(1, 3, 6, 2, 7, 3, 256)(torch.zeros(1, 1, 5, 4)).shape
    torch.Size([1, 3, 5, 4])
    """

    stride = 1
    min_size = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        layers: int,
        kernel_first: int,
        kernel: int,
        levels: int,
    ):
        super().__init__()
        width = integer("net.width", width, 1)
        layers = integer("net.layers", layers, 1)
        kernel_first = kernel_size("net.kernel_first", integer("net.kernel_first", kernel_first, 3))
        kernel = kernel_size("net.kernel", integer("net.kernel", kernel, 3))
        self.levels = integer("net.levels", levels, 2)
        self.channels = in_channels, out_channels
        latent, inner, logits = (divided(n, out_channels) for n in (in_channels, width, out_channels * levels))
        self.first = Gated(latent, inner, kernel_first, first=True)
        self.layers = nn.ModuleList(Gated(inner, inner, kernel, first=False) for _ in range(layers))
        self.head = nn.Sequential(nn.ReLU(), Left(inner, inner), nn.ReLU())
        self.end = Left(inner, logits)
        self.reach = kernel_first // 2 + layers * (kernel // 2)  # px that an output sees above it and to each side

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([expected(logits) for logits in self.logits(z)], 1)

    def logits(self, z: Tensor) -> Iterator[Tensor]:
        """(N, H, W, levels) for one output channel after the other: together `levels` times as large as the image."""
        above, left = self.first(z, z)
        for layer in self.layers:
            above, left = layer(above, left)
        x = self.head(left).movedim(1, -1)
        weight = self.end.masked_weight().flatten(1)
        for rows, bias in zip(weight.split(self.levels), self.end.bias.split(self.levels), strict=True):
            yield F.linear(x, rows, bias)

    def log_prob(self, image: Tensor) -> Tensor:
        """(N,) log-probabilities in nats of images (N, C, H, W) in [0, 1], rounded to the levels.

        Its gradient reaches the weights and not the image, because of the rounding.

        Raises:
            ValueError: image, input and output differ in channels, or a value lies outside [0, 1].
        """
        before, after = self.channels
        if not before == after == image.shape[1]:
            raise ValueError(
                f"log_prob: the image has {image.shape[1]} channels, the net in_channels={before} and "
                f"out_channels={after}: give the same number for all three"
            )
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(f"log_prob: values from {image.min():g} to {image.max():g}: give an image in [0, 1]")
        targets = (image * (self.levels - 1)).round()
        costs = [
            # One row per pixel: the loss over maps has no deterministic kernel on CUDA.
            F.cross_entropy(wide(logits).flatten(0, -2), target.flatten(), reduction="none").view(len(image), -1).sum(1)
            for logits, target in zip(self.logits(targets / (self.levels - 1)), targets.long().unbind(1), strict=True)
        ]
        return -torch.stack(costs).sum(0)


class Gated(nn.Module):
    """One layer of both stacks, each at full size: what is above each pixel, and what is to its left.

    Row i of the vertical stack depends on the rows up to i. The horizontal stack gets it shifted down by one row, so
    that all of it comes before the pixel and needs no mask. The first layer hides a pixel's own channel ("mask A"); it
    has no residual connection, which would reveal that channel.
    """

    def __init__(self, before: Tensor, after: Tensor, kernel: int, first: bool):
        super().__init__()
        gates, reach = after.repeat(2), kernel // 2
        self.first = first
        # As many kernel rows as published: in the first layer only those that the shift puts above the pixel.
        self.vertical = Above(len(before), len(gates), reach if first else reach + 1, kernel)
        self.link = nn.Conv2d(len(gates), len(gates), 1, bias=False)
        self.horizontal = Left(before, gates, reach, strict=first)
        self.mix = Left(after, after)

    def forward(self, above: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        above = self.vertical(above)
        new = self.mix(gated(self.horizontal(left) + shifted_down(self.link(above))))
        return gated(above), new if self.first else left + new


class Above(nn.Conv2d):
    """A convolution over `rows` rows, the last of which is the pixel's own, and over `kernel` columns around it."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, kernel: int):
        super().__init__(in_channels, out_channels, (rows, kernel), padding=(0, kernel // 2))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 0, self.kernel_size[0] - 1, 0)))


class Left(nn.Conv2d):
    """A convolution over `reach` pixels to the left and over the pixel itself, where features are masked.

    `before` and `after` give the channel of each input and output feature. Within the pixel itself, an output feature
    sees the input features of lower channels and, unless `strict`, those of its own channel.
    """

    mask: Tensor

    def __init__(self, before: Tensor, after: Tensor, reach: int = 0, strict: bool = False):
        super().__init__(len(before), len(after), (1, reach + 1))
        mask = torch.ones_like(self.weight, dtype=torch.bool)
        mask[..., 0, -1] = before < after[:, None] if strict else before <= after[:, None]
        self.register_buffer("mask", mask, persistent=False)

    def masked_weight(self) -> Tensor:
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (self.kernel_size[1] - 1, 0)), self.masked_weight(), self.bias)


def divided(features: int, channels: int) -> Tensor:
    """The channel that each feature belongs to: equal shares, in order.

    >>> divided(8, 3).tolist()
    [0, 0, 0, 1, 1, 1, 2, 2]
    """
    return torch.arange(features) * channels // features


def gated(x: Tensor) -> Tensor:
    """tanh of one half of the features times sigmoid of the other."""
    value, gate = x.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(gate)


def shifted_down(x: Tensor) -> Tensor:
    """Shift the rows down by one: row i takes what was in row i - 1, and the first row is zero."""
    return F.pad(x, (0, 0, 1, -1))


def expected(logits: Tensor) -> Tensor:
    """The expected value of the softmax, (..., levels) -> (...) in [0, 1]."""
    p = wide(logits).softmax(-1)
    levels = torch.arange(p.shape[-1], dtype=p.dtype, device=p.device) / (p.shape[-1] - 1)
    with torch.autocast(p.device.type, enabled=False):  # autocast would compute the product in bfloat16
        return (p @ levels).clamp(max=1)  # a rounded softmax can sum to more


def wide(x: Tensor) -> Tensor:
    """`x` as float32, or wider if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
