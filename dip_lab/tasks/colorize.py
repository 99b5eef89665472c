"""Colourisation: the observation is the grey picture."""

import torch
from torch import Tensor

from dip_lab.images import Picture
from dip_lab.tasks.operators import Operator

WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue: luma of ITU-R BT.601, as in Pillow's "L"


class Grey(Operator):
    """A(x) = 0.299 R + 0.587 G + 0.114 B."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.tensor(WEIGHTS).reshape(1, 3, 1, 1), persistent=False)

    def prepare(self, picture: Picture, seed: int) -> None:
        """Refuse a grey target, of whose colours nothing is known."""
        if picture.pixels.shape[1] == 1:
            raise ValueError(f"task=colorize: {picture.name} is grey: give the colour picture as target, "
                             f"or task.given=true to colour a grey one")

    def prepare_given(self, picture: Picture, seed: int) -> None:
        """Nothing: the picture may be grey."""

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W), in float32 at least."""
        image = image.to(torch.promote_types(image.dtype, torch.float32))
        return (image * self.weights.to(image.dtype)).sum(1, keepdim=True)

    def adjoint(self, observation: Tensor) -> Tensor:
        """The weights times the value."""
        return observation * self.weights.to(observation.dtype)

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Three channels of the same size."""
        return 3, *observation_shape[1:]

    def given(self, pixels: Tensor) -> Tensor:
        """A grey picture as it is; the grey of a colour picture."""
        return pixels if pixels.shape[1] == 1 else self(pixels)

    def observed(self, observation: Tensor) -> Tensor:
        """The grey picture in three equal channels."""
        return observation.clamp(0, 1).expand(-1, 3, -1, -1)

    def window(self, rows: slice, columns: slice) -> tuple[Operator, slice, slice]:
        """Itself."""
        return self, rows, columns
