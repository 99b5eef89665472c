"""A network that maps what was observed to the picture, and its use on pictures of any size."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.precision import autocast_dtype
from dip_lab.problem import Problem

LEVELS = 255  # a noise map is in units of the picture, sigma in those of 8 bits


class Restorer(nn.Module):
    """(what was observed, perhaps a noise map, perhaps a mask) -> picture, with any network of `dip_lab.nets`.

    Args:
        net: takes `channels` planes of the observation and those of the maps, and makes `channels` planes.
        channels: of the picture, 1 or 3.
        residual: the network's output is what is wrong with the observation, which is subtracted (DnCNN,
            https://arxiv.org/abs/1608.03981); otherwise it is the picture.
        precision: auto, bf16 or float32: arithmetic inside the network.
        clipped: it learns from noise that was clipped to [0, 1], and so is what it is given later.

    Raises:
        ValueError: `residual`, and the network's output cannot be made unbounded.
    """

    def __init__(self, net: nn.Module, channels: int, residual: bool, precision: str = "float32",
                 clipped: bool = False):
        super().__init__()
        if residual:
            if not hasattr(net, "to_image"):
                raise ValueError(f"restorer.residual=true: {type(net).__name__} makes pictures only: "
                                 "add restorer.residual=false")
            net.to_image = nn.Identity()
        self.net, self.channels, self.residual = net, channels, residual
        self.precision, self.clipped = precision, clipped
        self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, channels + maps, H, W) -> (N, channels, H, W) float32, unclamped; any H and W."""
        height, width = inputs.shape[-2:]
        if self.clipped:
            inputs = torch.cat((inputs[:, :self.channels].clamp(0, 1), inputs[:, self.channels:]), 1)
        rows, columns = (math.ceil(max(side, self.net.min_size) / self.net.stride) * self.net.stride - side
                         for side in (height, width))
        padded = F.pad(inputs, (0, columns, 0, rows), mode="replicate") if rows or columns else inputs
        dtype = autocast_dtype(self.precision, inputs.device.type)
        with torch.autocast(inputs.device.type, dtype=dtype, enabled=dtype is not None):
            made = self.net(padded.contiguous(memory_format=torch.channels_last))
        made = made.float()[..., :height, :width]
        return inputs[:, :self.channels] - made if self.residual else made

    @torch.no_grad()
    def tiled(self, inputs: Tensor, tile: int, overlap: int) -> Tensor:
        """As `forward`, of windows of at most `tile` px a side; `overlap` px around each see no more than it does."""
        height, width = inputs.shape[-2:]
        if max(height, width) <= tile:
            return self(inputs)
        image = inputs.new_empty(len(inputs), self.channels, height, width)
        step = tile - 2 * overlap
        for top in range(0, height, step):
            for left in range(0, width, step):
                above, before = max(0, top - overlap), max(0, left - overlap)
                window = self(inputs[..., above:top + step + overlap, before:left + step + overlap])
                place = image[..., top:top + step, left:left + step]
                place.copy_(window[..., top - above:, left - before:][..., :place.shape[-2], :place.shape[-1]])
        return image


def with_known(image: Tensor, picture: Tensor, known: Tensor) -> Tensor:
    """The image in the holes and the picture, untouched, where it is known (1; 0 in the holes)."""
    return torch.where(known > 0, picture, image)


def inputs_of(problem: Problem, stds: Tensor | None) -> Tensor:
    """What a restorer sees of a problem, `(N, channels + maps, H, W)`: the observation at the picture's size.

    Args:
        problem: one picture, or a stack of patches.
        stds: (N,) standard deviations of the noise, each of which becomes a plane; None: no noise map.

    A plane that is 1 where the picture is known follows where the operator has holes.
    """
    planes = [problem.guide()]
    count, _, height, width = planes[0].shape
    if stds is not None:
        planes.append(stds.to(planes[0])[:, None, None, None].expand(count, 1, height, width))
    known = problem.operator.known
    if known is not None:
        planes.append(known.to(planes[0]).amin(1, keepdim=True).expand(count, 1, height, width))
    return torch.cat(planes, 1)
