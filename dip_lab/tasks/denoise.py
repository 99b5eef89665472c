"""Denoising: the observation is the image and noise."""

from torch import Tensor

from dip_lab.tasks.operators import Operator


class Identity(Operator):
    """A(x) = x."""

    def forward(self, image: Tensor) -> Tensor:
        """The image."""
        return image

    def adjoint(self, observation: Tensor) -> Tensor:
        """The observation."""
        return observation

    def window(self, rows: slice, columns: slice) -> tuple[Operator, slice, slice]:
        """Itself."""
        return self, rows, columns
