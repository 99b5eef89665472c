"""Inpainting: the observation is the image where it is known, 0 in the holes."""

import torch
from torch import Tensor

from dip_lab.images import Picture
from dip_lab.tasks.masks import Mask
from dip_lab.tasks.operators import Operator


class Masking(Operator):
    """A(x) = known * x, its own adjoint.

    After `prepare`, `known` is a float32 buffer of 0 and 1, (1, 1, H, W), or (1, C, H, W) where each channel has its
    own holes, or (T, 1, H, W) where each frame has; `has_hole` says whether any value is missing.
    """

    def __init__(self, mask: Mask):
        super().__init__()
        self.mask, self.has_hole = mask, False
        self.known = torch.ones(1, 1, 1, 1)

    def prepare(self, picture: Picture, seed: int) -> None:
        """Draw or read the mask.

        Raises:
            ValueError: a mask under which nothing is known, or that is not for this picture.
        """
        known = self.mask(picture, seed)
        if not known.any():
            law = f"task.mask.path={self.mask.path}" if self.mask.path else f"task.mask={self.mask}"
            other = "black" if self.mask.polarity == "white" else "white"
            remedy = f"try task.mask.polarity={other}" if self.mask.path else "leave some pixels known"
            raise ValueError(f"{law}: nothing is known, every pixel of {picture.name} is a hole; {remedy}")
        self.known, self.has_hole = known.float(), not bool(known.all())

    def forward(self, image: Tensor) -> Tensor:
        """The image with 0 in the holes."""
        return image * self._known()

    def adjoint(self, observation: Tensor) -> Tensor:
        """The observation with 0 in the holes."""
        return observation * self._known()

    def observed(self, observation: Tensor) -> Tensor:
        """The observation with black holes, whatever a given picture has in them."""
        return self.adjoint(observation)

    @property
    def hole(self) -> Tensor:
        """1 where nothing is known, 0 elsewhere; shaped like `known`, of the present `frames` if each has its own."""
        return 1 - self._known()

    def window(self, rows: slice, columns: slice) -> tuple[Operator, slice, slice]:
        """With the mask's window."""
        part = Masking(self.mask)
        part.known, part.has_hole = self.known[..., rows, columns], self.has_hole
        return part, rows, columns

    def _known(self) -> Tensor:
        return self.known[self.frames] if len(self.known) > 1 else self.known
