"""Noise whose strength is drawn anew for each patch: `task.sigma=[0,55]`."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.instantiate import instantiate
from dip_lab.randomness import generator_of
from dip_lab.targets import located


class Drawn:
    """A noise law with values from ranges, which are a function of the seed as the noise is.

    Args:
        make: gives the law of some values.
        ranges: key of `make` -> (lowest, highest).
    """

    def __init__(self, make: Callable[..., Any], ranges: Mapping[str, tuple[float, float]]):
        self.make, self.ranges = make, ranges
        self.law = functools.lru_cache(maxsize=1024)(self._law)  # a patch's law is asked for twice
        for values in zip(*ranges.values(), strict=True):
            make(**dict(zip(ranges, values, strict=True)))  # refuses ends that no law has

    def _law(self, seed: int) -> Any:
        """The law that noise of this seed has."""
        draws = torch.rand(len(self.ranges), generator=generator_of(seed, "law")).tolist()
        return self.make(**{key: low + (high - low) * draw
                            for (key, (low, high)), draw in zip(self.ranges.items(), draws, strict=True)})

    def __call__(self, clean: Tensor, seed: int) -> Tensor:
        """Noisy, shaped like `clean`."""
        return self.law(seed)(clean, seed)


def noise_of(values: Mapping[str, Any]) -> Any:
    """The law that an option of configs/task/noise names, in which a list of two numbers is a range to draw from.

    Raises:
        ValueError: a range is not two numbers in order.
    """
    ranges = {key: _range(key, value) for key, value in values.items() if isinstance(value, list)}
    if not ranges:
        return instantiate(values)
    fixed = {key: value for key, value in values.items() if key not in ranges}
    instantiate({**fixed, "_partial_": True})  # refuses what Hydra would; called often, a plain partial is quicker
    arguments = {key: value for key, value in fixed.items() if key != "_target_"}
    return Drawn(functools.partial(located(fixed["_target_"]), **arguments), ranges)


def _range(key: str, value: Sequence[Any]) -> tuple[float, float]:
    if len(value) != 2 or not all(isinstance(end, int | float) for end in value) or value[0] > value[1]:
        raise ValueError(f"task.{key}={value}: give one number, or a range from the lowest to the highest: [0,55]")
    return tuple(number(f"task.{key}", end, 0) for end in value)


def std_of(noise: Any, seed: int) -> float | None:
    """Standard deviation of the noise that a law adds with this seed; None where it has none of its own."""
    return getattr(noise.law(seed) if isinstance(noise, Drawn) else noise, "std", None)
