"""What every forward operator A offers: image -> noiseless observation."""

from torch import Tensor, nn

from dip_lab.images import Picture


class Operator(nn.Module):
    """A linear map A of images `(N, C, H, W)`: a new one writes `forward`, `adjoint`, and what differs below.

    Both take any number of channels and compute in float32 at least; `<A(x), u> == <x, A.adjoint(u)>`.

    Attributes:
        known: 1 where the observation was measured and 0 elsewhere, broadcastable to it; None: everywhere.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("known", None, persistent=False)

    def prepare(self, picture: Picture, seed: int) -> None:
        """Draw or read what depends on the picture (a mask, matrices). Here: nothing."""

    def forward(self, image: Tensor) -> Tensor:
        """A(x)."""
        raise NotImplementedError

    def adjoint(self, observation: Tensor) -> Tensor:
        """A^T(y), shaped like the image."""
        raise NotImplementedError

    def image_size(self, observation_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the image behind an observation of this (height, width). Here: the same."""
        return observation_size

    def observed(self, observation: Tensor) -> Tensor:
        """What one would show without any restoration, at the image's size. Here: the observation."""
        return observation
