"""Demosaicing: one colour was measured at each pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dip_lab.checks import one_of
from dip_lab.data.images import Images
from dip_lab.tasks.operators import Local, Operator
from dip_lab.tasks.views import View

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")


class Bayer(Local, Operator):
    """A(x): the value of one channel at each pixel; `pattern` names the channels of the upper left 2 x 2, row by row.

    Any size works, odd ones included; the pattern begins at the upper left pixel.

    Raises:
        ValueError: another pattern.
    """

    unit = 2
    task, baseline = "demosaic", "bilinear_demosaic"

    def __init__(self, pattern: str):
        super().__init__()
        self.pattern = one_of("task.pattern", pattern, PATTERNS)
        cells = torch.tensor(["RGB".index(letter) for letter in pattern]).reshape(2, 2)
        self.register_buffer("cells", F.one_hot(cells, 3).permute(2, 0, 1).float(), persistent=False)

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Refuse a grey target, whose mosaic is itself, and one of other channels."""
        channels = images.pixels.shape[1]
        if not given and channels != 3:
            what = "is grey" if channels == 1 else f"has {channels} channels"
            raise ValueError(f"task=demosaic: {images.name} {what}: give a colour picture, "
                             f"or task.given=true if it is a camera's raw mosaic")

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W), in float32 at least."""
        image = image.to(torch.promote_types(image.dtype, torch.float32))
        return (image * self.filters(image)).sum(1, keepdim=True)

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Three channels of the same size."""
        return 3, *observation_shape[1:]

    def given(self, pixels: Tensor) -> Tensor:
        """A grey picture is the mosaic; a colour picture is turned into one."""
        return pixels if pixels.shape[1] == 1 else self(pixels)

    def filters(self, like: Tensor) -> Tensor:
        """(1, 3, H, W): 1 where a pixel has this colour's filter before it, 0 elsewhere; for pictures sized `like`."""
        height, width = like.shape[-2:]
        return self.cells.to(like).repeat(1, -(-height // 2), -(-width // 2))[None, :, :height, :width]


class Demosaicked(View):
    """Bilinear demosaicing: a missing value is the weighted mean of the values next to it in its channel."""

    def observed(self, observation: Tensor, operator: Bayer) -> Tensor:
        """(N, 1, H, W) -> (N, 3, H, W) in [0, 1]."""
        measured = operator.filters(observation).expand(len(observation), -1, -1, -1)
        near = observation.new_tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]).expand(3, 1, 3, 3)
        total, weight = (F.conv2d(plane, near, padding=1, groups=3) for plane in (observation * measured, measured))
        return torch.where(measured > 0, observation, total / weight).clamp(0, 1)
