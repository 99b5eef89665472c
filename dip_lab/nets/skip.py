"""The skip network (hourglass) of Deep Image Prior, https://arxiv.org/abs/1711.10925."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from dip_lab.checks import flag, integer, one_of
from dip_lab.nets.blocks import (
    ACTIVATIONS,
    PADDINGS,
    UPSAMPLINGS,
    Lanczos,
    ToImage,
    kernel_size,
    listed,
    norm_act,
    padded_up,
    per_scale,
)
from dip_lab.nets.convolution import Conv, working
from dip_lab.nets.merge import Merge

# What halves the map after the first convolution of a scale; "stride" leaves it to the convolution itself.
DOWNSAMPLINGS: Mapping[str, Callable[[], nn.Module] | None] = {
    "stride": None,
    "avg": lambda: nn.AvgPool2d(2),
    "max": lambda: nn.MaxPool2d(2),
    "lanczos2": lambda: Lanczos(2),
    "lanczos3": lambda: Lanczos(3),
}


class Skip(nn.Module):
    """Encoder and decoder joined at every scale by a thin branch, all convolutions with batch-norm.

    Lists of per-scale values start with the outermost scale. `width` and `depth` describe a network with the
    same number of channels at every scale; a list `channels` replaces both, which are then ignored. Without
    `outer_skip` the outermost scale has no branch, whatever `skip_channels` says.
    Every published variant is a set of these values (see tests/nets/test_published_counts.py).

    Raises:
        ValueError: a value is out of its range, or a list's length is not the number of scales.

    >>> import torch
    >>> net = Skip(2, 3, 8, 2, None, [0, 4], 3, 3, 1, "stride", "nearest", "zero", True, "leaky_relu")
    >>> net(torch.zeros(1, 2, 8, 16)).shape
    torch.Size([1, 3, 8, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int | None,
        depth: int | None,
        channels: Sequence[int] | None,
        skip_channels: int | Sequence[int],
        kernel_down: int | Sequence[int],
        kernel_up: int | Sequence[int],
        kernel_skip: int | Sequence[int],
        downsample: str | Sequence[str],
        upsample: str | Sequence[str],
        padding: str,
        mix_1x1: bool,
        activation: str,
        outer_skip: bool = True,
    ):
        super().__init__()
        self.to_image = ToImage()
        if channels is None:
            widths = [integer("net.width", width, 1)] * integer("net.depth", depth, 1, 12)
        else:
            widths = [integer("net.channels", c, 1) for c in listed("net.channels", channels)]
        scales = len(widths)
        skips = [integer("net.skip_channels", c, 0) for c in per_scale("net.skip_channels", skip_channels, scales)]
        if not flag("net.outer_skip", outer_skip):
            skips[0] = 0
        k_down = [kernel_size("net.kernel_down", k) for k in per_scale("net.kernel_down", kernel_down, scales)]
        k_up = [kernel_size("net.kernel_up", k) for k in per_scale("net.kernel_up", kernel_up, scales)]
        k_skip = [kernel_size("net.kernel_skip", k) for k in per_scale("net.kernel_skip", kernel_skip, scales)]
        downs = [one_of("net.downsample", d, DOWNSAMPLINGS) for d in per_scale("net.downsample", downsample, scales)]
        ups = [one_of("net.upsample", u, UPSAMPLINGS) for u in per_scale("net.upsample", upsample, scales)]
        padding = one_of("net.padding", padding, PADDINGS)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        mix_1x1 = flag("net.mix_1x1", mix_1x1)

        self.stride = 2**scales
        # The deepest map must be 2 px wide (batch-norm of a single pixel is undefined), and a map that is padded
        # by reflection must be larger than its padding.
        sides = [2 * self.stride]
        if padding == "reflection":
            for i in range(scales):
                sides += [2 ** (i + 1) * (k_down[i] // 2 + 1), 2**i * (max(k_up[i], k_skip[i]) // 2 + 1)]
        self.min_size = padded_up(max(sides), self.stride)

        inputs = [in_channels, *widths[:-1]]
        deeper = [*widths[1:], widths[-1]]
        self.scales = nn.ModuleList(
            Scale(
                inputs[i],
                widths[i],
                deeper[i],
                skips[i],
                (k_down[i], k_up[i], k_skip[i]),
                downs[i],
                ups[i],
                padding,
                mix_1x1,
                activation,
            )
            for i in range(scales)
        )
        self.head = Conv(widths[0], out_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        x, branches = working(z), []  # converted once for the branch and the way down
        for scale in self.scales:
            branches.append(scale.branch(x) if scale.branch is not None else None)
            x = scale.down(x)
        for scale in reversed(self.scales):
            x = scale.up(scale.merge(x, branches.pop()))
        return self.to_image(self.head(x))


class Scale(nn.Module):
    """One scale's layers: `down` to half the size, the side `branch`, then `merge` and `up` to full size."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        deeper: int,
        skip: int,
        kernels: tuple[int, int, int],
        downsample: str,
        upsample: str,
        padding: str,
        mix_1x1: bool,
        activation: str,
    ):
        super().__init__()
        k_down, k_up, k_skip = kernels
        pool = DOWNSAMPLINGS[downsample]
        self.down = nn.Sequential(
            Conv(in_channels, width, k_down, padding, stride=1 if pool else 2),
            *([pool()] if pool else []),
            *norm_act(width, activation),
            Conv(width, width, k_down, padding),
            *norm_act(width, activation),
        )
        self.branch = None
        if skip:
            self.branch = nn.Sequential(Conv(in_channels, skip, k_skip, padding), *norm_act(skip, activation))
        self.merge = Merge(skip, deeper, width, k_up, upsample, padding)
        mix = [Conv(width, width, 1), *norm_act(width, activation)] if mix_1x1 else []
        self.up = nn.Sequential(*norm_act(width, activation), *mix)
