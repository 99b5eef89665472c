"""What is reported of an image beside its target: rules whose `scores` gives {name: 0-d tensor}."""

from typing import Any

from torch import Tensor

from dip_lab.checks import integer
from dip_lab.metrics import psnr, psnr_y, ssim
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.operators import Operator

SCORES = ("psnr", "ssim", "psnr_8bit", "psnr_y", "psnr_hole")  # all that the rules below give


class FullFrame:
    """`psnr` and `ssim` over all pixels and channels, and `psnr_8bit`: of the picture as its PNG holds it."""

    def scores(self, image: Tensor, target: Tensor, operator: Operator) -> dict[str, Tensor]:
        """Scores of one image (1, C, H, W) in [0, 1]."""
        written = image.clamp(0, 1).mul(255).round() / 255
        return {"psnr": psnr(image, target), "ssim": ssim(image, target), "psnr_8bit": psnr(written, target)}

    def final(self, image: Tensor, problem: Any) -> dict[str, float]:
        """Figures of the answer alone, without a target. Here: none."""
        return {}


class LumaFrame(FullFrame):
    """And `psnr_y`: the Y channel with `border` px shaved, as in super-resolution tables."""

    def __init__(self, border: int):
        self.border = integer("task.evaluation.border", border, 0)

    def scores(self, image: Tensor, target: Tensor, operator: Operator) -> dict[str, Tensor]:
        """Scores; raises a ValueError if the border leaves nothing."""
        return super().scores(image, target, operator) | {"psnr_y": psnr_y(image, target, self.border)}


class HoleFrame(FullFrame):
    """And `psnr_hole`: the missing values alone. Without a hole there is no such key."""

    def scores(self, image: Tensor, target: Tensor, operator: Masking) -> dict[str, Tensor]:
        """Scores."""
        scores = super().scores(image, target, operator)
        if operator.has_hole:
            scores["psnr_hole"] = psnr(image, target, where=operator.hole)
        return scores
