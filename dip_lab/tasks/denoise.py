"""Denoising: the observation is the image plus noise."""

from torch import Tensor

from dip_lab.tasks.operators import Local, Operator


class Identity(Local, Operator):
    """A(x) = x."""

    degrades = False
    task, baseline = "denoise", "nlm"

    def forward(self, image: Tensor) -> Tensor:
        """The image."""
        return image
