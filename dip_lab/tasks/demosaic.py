"""Demosaicing: of each pixel one colour was measured."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dip_lab.checks import one_of
from dip_lab.images import Picture
from dip_lab.tasks.operators import Operator

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")


class Bayer(Operator):
    """A(x): the value of one channel at each pixel, as `pattern` names those of the upper left 2 x 2, row by row.

    Any size, odd ones included; the pattern begins at the upper left pixel.

    Raises:
        ValueError: another pattern.
    """

    unit = 2

    def __init__(self, pattern: str):
        super().__init__()
        self.pattern = one_of("task.pattern", pattern, PATTERNS)
        cells = torch.tensor(["RGB".index(letter) for letter in pattern]).reshape(2, 2)
        self.register_buffer("cells", F.one_hot(cells, 3).permute(2, 0, 1).float(), persistent=False)

    def prepare(self, picture: Picture, seed: int) -> None:
        """Refuse a grey target, whose mosaic is itself."""
        if picture.pixels.shape[1] == 1:
            raise ValueError(f"task=demosaic: {picture.name} is grey: give a colour picture, "
                             f"or task.given=true if it is a camera's raw mosaic")

    def prepare_given(self, picture: Picture, seed: int) -> None:
        """Nothing: a grey picture is a raw mosaic."""

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W), in float32 at least."""
        image = image.to(torch.promote_types(image.dtype, torch.float32))
        return (image * self.filters(image)).sum(1, keepdim=True)

    def adjoint(self, observation: Tensor) -> Tensor:
        """Each value in its own channel, 0 in the others."""
        return observation * self.filters(observation)

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Three channels of the same size."""
        return 3, *observation_shape[1:]

    def given(self, pixels: Tensor) -> Tensor:
        """A grey picture is the mosaic; of a colour picture it is taken."""
        return pixels if pixels.shape[1] == 1 else self(pixels)

    def observed(self, observation: Tensor) -> Tensor:
        """Bilinear demosaicing: what was not measured is the weighted mean of the channel's values beside it."""
        measured = self.filters(observation).expand(len(observation), -1, -1, -1)
        near = observation.new_tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]).expand(3, 1, 3, 3)
        total, weight = (F.conv2d(plane, near, padding=1, groups=3) for plane in (observation * measured, measured))
        return torch.where(measured > 0, observation, total / weight).clamp(0, 1)

    def filters(self, like: Tensor) -> Tensor:
        """(1, 3, H, W): 1 where a pixel has this colour's filter before it, 0 elsewhere; for pictures sized `like`."""
        height, width = like.shape[-2:]
        return self.cells.to(like).repeat(1, -(-height // 2), -(-width // 2))[None, :, :height, :width]

    def window(self, rows: slice, columns: slice) -> tuple[Operator, slice, slice]:
        """Itself: a window begins at an even row and column, where the pattern begins anew."""
        return self, rows, columns
