"""Inpainting: the observation is the image where it is known, 0 in the holes."""

import torch
from torch import Tensor

from dip_lab.data.images import Images
from dip_lab.tasks.masks import Mask
from dip_lab.tasks.operators import Local, Operator


class Masking(Local, Operator):
    """A(x) = known * x, its own adjoint.

    After `prepare`, `known` is a float32 buffer of 0 and 1, (1, 1, H, W), or (1, C, H, W) where each channel has its
    own holes, or (T, 1, H, W) where each frame has; `has_hole` says whether any value is missing.
    """

    task, baseline = "inpaint", "biharmonic"

    def __init__(self, mask: Mask):
        super().__init__()
        self.mask, self.has_hole = mask, False
        self.known = torch.ones(1, 1, 1, 1)

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Draw or read the mask.

        Raises:
            ValueError: a mask that leaves nothing known, or that does not fit this picture.
        """
        known = self.mask(images, seed)
        if not known.any():
            law = f"task.mask.path={self.mask.path}" if self.mask.path else f"task.mask={self.mask}"
            other = "black" if self.mask.polarity == "white" else "white"
            remedy = f"try task.mask.polarity={other}" if self.mask.path else "leave some pixels known"
            raise ValueError(f"{law}: nothing is known, every pixel of {images.name} is a hole; {remedy}")
        self.known, self.has_hole = known.float(), not bool(known.all())

    def forward(self, image: Tensor) -> Tensor:
        """The image with 0 in the holes."""
        return image * self.known

    @property
    def hole(self) -> Tensor:
        """1 where nothing is known, 0 elsewhere; shaped like `known`."""
        return 1 - self.known
