"""What every forward operator A offers: image -> noiseless observation."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dip_lab.images import Picture

ALL = slice(None)


class Operator(nn.Module):
    """A linear map A of images `(N, C, H, W)`: a new one writes `forward`, and what differs of the rest.

    `forward` and `adjoint` compute in float32 at least; `<A(x), u> == <x, A.adjoint(u)>`.

    Attributes:
        known: 1 where the observation was measured and 0 elsewhere, broadcastable to it; None: everywhere.
        frames: which frames of a clip `forward` is given now; a mask with holes of its own for each looks at it.
        unit: a window starts at multiples of so many pixels.
    """

    unit = 1

    def __init__(self):
        super().__init__()
        self.frames = ALL
        self.register_buffer("known", None, persistent=False)

    def prepare(self, picture: Picture, seed: int) -> None:
        """Draw or read what depends on the picture (a mask, matrices). Here: nothing."""

    def prepare_given(self, picture: Picture, seed: int) -> None:
        """As `prepare`, of a picture that is degraded already. Here: the same."""
        self.prepare(picture, seed)

    def forward(self, image: Tensor) -> Tensor:
        """A(x)."""
        raise NotImplementedError

    def adjoint(self, observation: Tensor) -> Tensor:
        """A^T(y), shaped like the image. Here: by reverse differentiation, which is exact for a linear A."""
        shape = len(observation), *self.image_shape(tuple(observation.shape[1:]))
        _, pull = torch.func.vjp(self, observation.new_zeros(shape))
        return pull(observation)[0]

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(channels, height, width) of the image behind an observation of this shape. Here: the same."""
        return observation_shape

    def given(self, pixels: Tensor) -> Tensor:
        """The observation that a picture (N, C, H, W) holds which is degraded already.

        Here: A of it where A keeps the shape, since what lies under a mask's holes was not measured; else the picture.
        """
        shape = tuple(pixels.shape[1:])
        return self(pixels) if self.image_shape(shape) == shape else pixels

    def observed(self, observation: Tensor) -> Tensor:
        """What one would show without any restoration, at the image's size, in [0, 1]. Here: the observation."""
        return observation

    def guide(self, observation: Tensor) -> Tensor:
        """What of the observation a network is given as its input. Here: what one would show."""
        return self.observed(observation)

    def shown(self, image: Tensor) -> Tensor:
        """What a person looks at, and what is scored. Here: the image."""
        return image

    def window(self, rows: slice, columns: slice) -> tuple["Operator", slice, slice]:
        """The operator of a window of the image, and the window of the observation, for tiles.

        Raises:
            ValueError: each value of the observation depends on the whole picture.
        """
        raise ValueError(f"tile: {type(self).__name__} measures the picture as a whole: leave tile null")

    def of_frames(self, frames: slice) -> "Operator":
        """The operator of some frames of a clip: itself, unless each frame has holes of its own."""
        if self.known is None or len(self.known) == 1:
            return self
        part = copy.copy(self)  # not its other buffers: they may be large
        part._buffers = {**self._buffers, "known": self.known[frames]}
        return part

    def joined(self, others: Sequence["Operator"]) -> "Operator":
        """One operator for a stack of equal windows, whose others are `others`; `frames` chooses among them."""
        joined = copy.deepcopy(self)
        if self.known is not None:
            known = [operator.known for operator in (self, *others)]
            joined.known = torch.cat([each.expand(-1, *known[0].shape[1:]) for each in known])
        return joined
