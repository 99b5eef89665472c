"""Denoising: the observation is the image plus noise."""

from typing import Any

from torch import Tensor

from dip_lab.checks import flag
from dip_lab.tasks.brisque import brisque, check_brisque
from dip_lab.tasks.evaluation import FullFrame
from dip_lab.tasks.noise_estimate import neighbours
from dip_lab.tasks.operators import Local, Operator


class Identity(Local, Operator):
    """A(x) = x."""

    degrades = False
    task, baseline = "denoise", "nlm"

    def forward(self, image: Tensor) -> Tensor:
        """The image."""
        return image


class Denoised(FullFrame):
    """Adds what is known without a target: is the difference to the observation like noise?

    `residual_std` (8-bit units) and `residual_correlation` (of neighbouring pixels) are to be compared with std and
    correlation of the `noise_estimate`: a larger correlation means that structure was removed too, a smaller std that
    noise is left. `brisque` rates the answer alone.

    Raises:
        ValueError: `brisque` is not true or false; it is true and the package is not installed.
    """

    def __init__(self, brisque: bool) -> None:
        self.brisque = flag("task.evaluation.brisque", brisque)
        if self.brisque:
            check_brisque()

    def final(self, image: Tensor, problem: Any) -> dict[str, float]:
        """Scores of the answer; of a clip's first frame."""
        residual = problem.observation[:1] - image[:1]
        centred = residual - residual.mean((-2, -1), keepdim=True)
        scores = {"residual_std": 255 * float(centred.square().mean().sqrt()),
                  "residual_correlation": neighbours(centred)}
        return scores | ({"brisque": brisque(image[:1])} if self.brisque else {})
