"""What is reported about an image and its target: rules whose `scores` gives {key: 0-d tensor}.

A rule may give any key. Those that `dip_lab.scores` does not know are described in the rule's own `described`.
"""

from typing import Any

from torch import Tensor

from dip_lab.checks import integer
from dip_lab.metrics import psnr, psnr_y, ssim_where, ssim_windows
from dip_lab.scores import Score
from dip_lab.tasks.operators import Operator


class Evaluation:
    """What is reported about an image.

    Attributes:
        described: name, unit and decimals of its own scores; a score without an entry is shown with 4 decimals.
    """

    described: tuple[Score, ...] = ()

    def scores(self, image: Tensor, target: Tensor, operator: Operator) -> dict[str, Tensor]:
        """Scores of one image (1, C, H, W) in [0, 1] against its target. Default: none."""
        return {}

    def final(self, image: Tensor, problem: Any) -> dict[str, float]:
        """Scores of the answer that need no target. Default: none."""
        return {}


class FullFrame(Evaluation):
    """`psnr` and `ssim` over all pixels and channels, and `psnr_8bit`, the PSNR of the picture as its PNG holds it."""

    def scores(self, image: Tensor, target: Tensor, operator: Operator) -> dict[str, Tensor]:
        """Scores of one image (1, C, H, W) in [0, 1]."""
        return _full(image, target, ssim_windows(image, target))


class LumaFrame(FullFrame):
    """Adds `psnr_y`: the PSNR of the Y channel with `border` px shaved, as in super-resolution tables.

    Args:
        border: px cut off each side.
        far_border: px cut off at the bottom and on the right; None: `border` as well.
    """

    def __init__(self, border: int, far_border: int | None = None):
        self.border = integer("task.evaluation.border", border, 0)
        self.far_border = None if far_border is None else integer("task.evaluation.far_border", far_border, 0)

    def scores(self, image: Tensor, target: Tensor, operator: Operator) -> dict[str, Tensor]:
        """Scores; raises a ValueError if the border leaves nothing."""
        return super().scores(image, target, operator) | {"psnr_y": psnr_y(image, target, self.border, self.far_border)}


class HoleFrame(FullFrame):
    """Adds `psnr_hole` and `ssim_hole`: the PSNR of the missing values only, the SSIM of the windows around them."""

    def scores(self, image: Tensor, target: Tensor, operator: Operator) -> dict[str, Tensor]:
        """Scores; NaN where this frame or tile has no hole, or for SSIM none as far from its edges as a window is."""
        hole, windows = operator.hole, ssim_windows(image, target)
        return _full(image, target, windows) | {"psnr_hole": psnr(image, target, where=hole),
                                                "ssim_hole": ssim_where(windows, hole)}


def _full(image: Tensor, target: Tensor, windows: Tensor) -> dict[str, Tensor]:
    """The scores of the whole frame; `windows`: of its SSIM, the slowest of them."""
    written = image.clamp(0, 1).mul(255).round() / 255
    return {"psnr": psnr(image, target), "ssim": windows.mean(), "psnr_8bit": psnr(written, target)}
