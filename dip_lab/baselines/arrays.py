"""Conversion between a problem and the arrays of classical methods."""

import numpy as np
import torch
from torch import Tensor

from dip_lab.problem import Problem
from dip_lab.tasks.operators import Operator


def check_task(problem: Problem, operator: type[Operator], baseline: str) -> None:
    """Refuse a problem that has another operator.

    Raises:
        ValueError: the operator is another; the message, one line, names a baseline that suits the problem.
    """
    if not isinstance(problem.operator, operator):
        raise ValueError(f"baseline={baseline} works for task={operator.task} only: "
                         f"try baseline={problem.operator.baseline}")


def array_of(problem: Problem) -> np.ndarray:
    """The observation, (h, w, C) float32, a copy."""
    return problem.observation[0].permute(1, 2, 0).cpu().numpy().copy()


def image_of(array: np.ndarray, problem: Problem) -> Tensor:
    """(H, W, C), or (H, W) if C is 1, to (1, C, H, W) float32 in [0, 1] on the observation's device."""
    _, channels, height, width = problem.image_shape
    planes = torch.from_numpy(array.astype(np.float32)).reshape(height, width, channels).permute(2, 0, 1)
    return planes[None].contiguous().clamp(0, 1).to(problem.observation.device)
