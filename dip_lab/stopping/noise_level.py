"""How noisy an observation is: known from the task, estimated, or said by the user."""

import statistics
from typing import Any

from torch import Tensor

from dip_lab.checks import number
from dip_lab.tasks.noise import Gaussian, NoNoise


def law_of(problem: Any, sigma: str | float, rule: str) -> Any:
    """The noise law of an observation.

    Args:
        sigma: "auto": the law it was drawn from, or, for a given observation, "estimate": clipped Gaussian noise of the
            estimated standard deviation; or that standard deviation, in 8-bit units.
        rule: the rule that asks, for errors.

    Raises:
        ValueError: there is no noise; nothing to estimate it from; `sigma` is something else.
    """
    if sigma == "auto" and problem.noise is not None:
        if isinstance(problem.noise, NoNoise):
            raise ValueError(f"stopping={rule}: the observation has no noise to compare with: try stopping=wmv")
        return problem.noise
    if sigma in ("auto", "estimate"):
        if problem.operator.known is not None:
            raise ValueError(f"stopping={rule}: noise cannot be estimated beside holes: give stopping.sigma=...")
        sigma = 255 * estimated_std(problem.observation)
    return Gaussian(number("stopping.sigma", sigma, 0, above=True), clip=True)


def estimated_std(observation: Tensor) -> float:
    """Standard deviation of white noise: median of |HH| over 0.6745, HH the finest diagonal Haar coefficients.

    Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994. The mean over the channels.

    >>> import torch
    >>> noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> round(estimated_std(0.5 + 0.1 * noise), 1)
    0.1
    """
    height, width = (side // 2 * 2 for side in observation.shape[-2:])
    even, odd = observation[0, :, :height:2, :width].cpu(), observation[0, :, 1:height:2, :width].cpu()
    diagonal = (even[..., ::2] - even[..., 1::2] - odd[..., ::2] + odd[..., 1::2]) / 2
    return statistics.fmean(float(channel.abs().median()) / 0.6745 for channel in diagonal)
