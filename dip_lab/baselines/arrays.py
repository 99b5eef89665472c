"""Between a problem and the arrays that classical methods take; which method is for which task."""

import numpy as np
import torch
from torch import Tensor

from dip_lab.problem import Problem
from dip_lab.tasks.ct import Radon
from dip_lab.tasks.deblur import Blur
from dip_lab.tasks.demosaic import Bayer
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.fusion import Sources
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.mri import Fourier
from dip_lab.tasks.operators import Operator
from dip_lab.tasks.super_resolution import Downsample

SUITED = {Identity: ("denoise", "nlm"), Masking: ("inpaint", "biharmonic"), Downsample: ("super_resolution", "lanczos"),
          Blur: ("deblur", "wiener"), Bayer: ("demosaic", "bilinear_demosaic"), Radon: ("ct", "fbp"),
          Fourier: ("mri", "zero_filled"), Sources: ("fusion", "laplacian")}


def check_task(problem: Problem, operator: type[Operator], baseline: str) -> None:
    """Refuse a problem that has another operator.

    Raises:
        ValueError: says which baseline suits the problem; one line.
    """
    if not isinstance(problem.operator, operator):
        other = next((name for kind, (_, name) in SUITED.items() if isinstance(problem.operator, kind)), "tv")
        raise ValueError(f"baseline={baseline} works for task={SUITED[operator][0]} only: try baseline={other}")


def array_of(problem: Problem) -> np.ndarray:
    """The observation, (h, w, C) float32, a copy."""
    return problem.observation[0].permute(1, 2, 0).cpu().numpy().copy()


def image_of(array: np.ndarray, problem: Problem) -> Tensor:
    """(H, W, C), or (H, W) where C is 1, to (1, C, H, W) float32 in [0, 1] beside the observation."""
    _, channels, height, width = problem.image_shape
    planes = torch.from_numpy(array.astype(np.float32)).reshape(height, width, channels).permute(2, 0, 1)
    return planes[None].contiguous().clamp(0, 1).to(problem.observation.device)
