"""Colourisation: the observation is the grey picture."""

import torch
from torch import Tensor

from dip_lab.data.images import Images
from dip_lab.tasks.operators import Local, Operator

WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue: luma of ITU-R BT.601, as in Pillow's "L"


class Grey(Local, Operator):
    """A(x) = 0.299 R + 0.587 G + 0.114 B."""

    task = "colorize"

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.tensor(WEIGHTS).reshape(1, 3, 1, 1), persistent=False)

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Refuse a grey target, whose colours are not known, and one of other channels."""
        channels = images.pixels.shape[1]
        if not given and channels != 3:
            what = "is grey" if channels == 1 else f"has {channels} channels"
            raise ValueError(f"task=colorize: {images.name} {what}: give the colour picture as target, "
                             f"or task.given=true to colour a grey one")

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W), in float32 at least."""
        image = image.to(torch.promote_types(image.dtype, torch.float32))
        return (image * self.weights.to(image.dtype)).sum(1, keepdim=True)

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Three channels of the same size."""
        return 3, *observation_shape[1:]

    def given(self, pixels: Tensor) -> Tensor:
        """A grey picture as it is; the grey of a colour picture."""
        return pixels if pixels.shape[1] == 1 else self(pixels)
