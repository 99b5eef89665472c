"""How noisy an observation is: known from the task, estimated, or given by the user."""

from typing import Any

from dip_lab.checks import number
from dip_lab.tasks.noise import Gaussian


def law_of(problem: Any, sigma: str | float, rule: str) -> Any:
    """The noise law of an observation.

    Args:
        sigma: "estimate": clipped Gaussian noise of the estimated standard deviation; for a given observation, noise
            of the estimated level at each brightness. "auto": the law that the noise was drawn from or, for a given
            observation, as "estimate". A number: the standard deviation in 8-bit units.
        rule: name of the rule that asks, for error messages.

    Raises:
        ValueError: there is no noise; it cannot be estimated; `sigma` is something else.
    """
    if sigma == "auto" and problem.noise is not None:
        if not getattr(problem.noise, "degrades", True):
            raise ValueError(f"stopping={rule}: the observation has no noise to compare with: try stopping=wmv")
        return problem.noise
    if sigma in ("auto", "estimate"):
        if problem.noise is None and (estimate := problem.noise_estimate) is not None:
            return estimate
        if (std := problem.noise_std()) is None:
            raise ValueError(f"stopping={rule}: the noise cannot be estimated: give stopping.sigma=...")
        sigma = 255 * std
    return Gaussian(number("stopping.sigma", sigma, 0, above=True), clip=True)
