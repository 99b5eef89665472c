"""A windowed transformer as an image generator, after https://arxiv.org/abs/2103.14030 and .../2108.10257 (SwinIR)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, ToImage, listed
from dip_lab.nets.convolution import Conv
from dip_lab.nets.transformer import ENLARGEMENTS, Block, enlarge


class Swin(nn.Module):
    """A small SwinIR: residual groups of windowed attention and a convolution, at 1 / `patch` of the picture's size.

    `depths` gives the number of blocks of each group; every second block shifts its windows by half a window, so that
    distant pixels can see each other. Unlike in SwinIR, the embedding has a batch-norm: without it a fit needs 9 times
    as many iterations to reach 28 dB (32 px, Adam .001: 265 against 30).

    Raises:
        ValueError: a value is out of its range, or `heads` does not divide `width`.

    >>> net = Swin(2, 3, 8, [2], 2, 4, 2, 2, "pixelshuffle")
    >>> net(torch.zeros(1, 2, 8, 16)).shape
    torch.Size([1, 3, 8, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        depths: Sequence[int],
        heads: int,
        window: int,
        patch: int,
        mlp_ratio: int,
        upsample: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        depths = [integer("net.depths", d, 1) for d in listed("net.depths", depths)]
        heads = integer("net.heads", heads, 1)
        if width % heads:
            raise ValueError(f"net.heads={heads}: must divide net.width={width}")
        window = integer("net.window", window, 2)
        patch = integer("net.patch", patch, 1)
        mlp_ratio = integer("net.mlp_ratio", mlp_ratio, 1)
        upsample = one_of("net.upsample", upsample, ENLARGEMENTS)

        self.stride = self.min_size = patch * window
        self.embed = nn.Sequential(
            Conv(in_channels, width, max(2 * patch - 1, 3), "reflection", stride=patch, bias=False),
            nn.BatchNorm2d(width),
        )
        self.body = nn.Sequential(
            *(
                Residual(
                    *(
                        Block(WindowAttention(width, heads, window, shifted=i % 2 == 1), width, mlp_ratio)
                        for i in range(depth)
                    ),
                    Conv(width, width, 3, "reflection"),
                )
                for depth in depths
            ),
            Conv(width, width, 3, "reflection"),
        )
        thin = (width + 1) // 2  # at full size a channel costs patch^2 times as much
        self.up = enlarge(width, thin, patch, upsample)
        self.head = nn.Sequential(ACTIVATIONS["leaky_relu"](), Conv(thin, out_channels, 3, "reflection"))

    def forward(self, z: Tensor) -> Tensor:
        x = self.embed(z)
        return self.to_image(self.head(self.up(x + self.body(x))))


class Residual(nn.Sequential):
    """The output of its layers, added to their input."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class WindowAttention(nn.Module):
    """Multi-head self-attention within each `window` x `window` square of a map, with a learned relative bias.

    `shifted` moves the squares by half a window, by rolling the map. Where that brings opposite sides of the picture
    into one square, they are masked from each other. A side that holds a single window is not shifted.
    """

    def __init__(self, width: int, heads: int, window: int, shifted: bool):
        super().__init__()
        self.heads = heads
        self.window = window
        self.shift = window // 2 if shifted else 0
        self.qkv = Conv(width, 3 * width, 1, bias=False)  # the norm before it has one
        self.mix = Conv(width, width, 1)
        self.table = nn.Parameter(nn.init.trunc_normal_(torch.empty(heads, 2 * window - 1, 2 * window - 1), std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        side = self.window
        rows, columns = height // side, width // side
        shifts = [self.shift if count > 1 else 0 for count in (rows, columns)]
        if any(shifts):
            x = x.roll([-s for s in shifts], (2, 3))
        qkv = self.qkv(x).permute(0, 2, 3, 1).reshape(n, rows, side, columns, side, 3, self.heads, -1)
        q, k, v = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(1, 3)  # (N windows, heads, window^2, d)
        # Written out, as torch's fused attention is a quarter slower on the CPU with a bias that is fitted.
        scores = q * q.shape[-1] ** -0.5 @ k.mT + self.bias(n, height, width, shifts).to(q.dtype)
        out = scores.softmax(-1).to(v.dtype) @ v
        out = out.transpose(1, 2).reshape(n, rows, columns, side, side, -1).transpose(2, 3)
        out = out.reshape(n, height, width, -1).permute(0, 3, 1, 2)
        return self.mix(out.roll(shifts, (2, 3)) if any(shifts) else out)

    def bias(self, n: int, height: int, width: int, shifts: list[int]) -> Tensor:
        """The bias of the scores, (1 or N windows, heads, window^2, window^2): -inf between opposite picture sides."""
        bias = self.relative()[None]
        if not any(shifts):
            return bias
        rows, columns = (
            torch.arange(side, device=bias.device) >= side - shift  # what the roll brought here from the other side
            for side, shift in zip((height, width), shifts, strict=True)
        )
        parts = (2 * rows[:, None] + columns).unflatten(1, (-1, self.window)).unflatten(0, (-1, self.window))
        parts = parts.transpose(1, 2).flatten(2).flatten(0, 1)
        apart = parts[:, None, :, None] != parts[:, None, None, :]
        return bias.masked_fill(apart, -torch.inf).expand(n, -1, -1, -1, -1).flatten(0, 1)

    def relative(self) -> Tensor:
        """(heads, window^2, window^2): entry (i, j), (k, l) is `table` at (k - i, l - j), whose centre is (0, 0).

        Made of overlapping views and not by indexing, whose gradient CUDA sums in no fixed order.
        """
        views = self.table.unfold(1, self.window, 1).unfold(2, self.window, 1)
        return views.flip(1, 2).flatten(3).flatten(1, 2)
