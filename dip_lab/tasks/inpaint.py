"""Inpainting: the observation is the image where it is known, 0 in the holes."""

import logging

import torch
from torch import Tensor

from dip_lab.data.images import Images
from dip_lab.tasks.masks import Color, Mask
from dip_lab.tasks.operators import Local, Operator

log = logging.getLogger(__name__)

class Masking(Local, Operator):
    """A(x) = known * x, its own adjoint.

    After `prepare`, `known` is a float32 buffer of 0 and 1, (1, 1, H, W), or (1, C, H, W) where each channel has its
    own holes, or (T, 1, H, W) where each frame has.
    """

    task, baseline = "inpaint", "biharmonic"

    def __init__(self, mask: Mask):
        super().__init__()
        self.mask = mask
        self.known = torch.ones(1, 1, 1, 1)

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Draw or read the mask.

        Raises:
            ValueError: a mask that leaves nothing known, or no hole, or that does not fit this picture.
        """
        known = self.mask(images, seed)
        file = getattr(self.mask, "path", None)
        law = f"task.mask.path={file}" if file else f"task.mask={self.mask}"
        both = "the file must show both, holes and what is known"
        if not known.any():
            remedy = both if file else "leave some pixels known"
            raise ValueError(f"{law}: nothing is known, every pixel of {images.name} is a hole; {remedy}")
        if known.all():
            remedy = both if file else "let it leave out some pixels"
            raise ValueError(f"{law}: there is nothing to fill in, no pixel of {images.name} is a hole; {remedy}")
        if isinstance(self.mask, Color) and not given and not file:
            log.warning("task/mask=color: what is under the paint is not known, and scores would compare with the "
                        "paint: add task.given=true")
        self.known = known.float()

    def forward(self, image: Tensor) -> Tensor:
        """The image with 0 in the holes."""
        return image * self.known

    @property
    def hole(self) -> Tensor:
        """1 where nothing is known, 0 elsewhere; shaped like `known`."""
        return 1 - self.known
