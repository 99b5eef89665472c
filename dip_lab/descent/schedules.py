"""Schedules of the learning rate: pure functions iteration -> factor, so that a resumed fit continues them."""

import math

from dip_lab.checks import integer, number


class Constant:
    """A factor of 1, after a linear rise over the first `warmup` iterations (0: no rise).

    >>> [Constant(warmup=4)(iteration) for iteration in (1, 2, 4, 9)]
    [0.25, 0.5, 1.0, 1.0]

    Raises:
        ValueError: `warmup` is not a whole number of at least 0.
    """

    def __init__(self, warmup: int):
        self.warmup = integer("descent.schedule.warmup", warmup, 0)

    def __call__(self, iteration: int) -> float:
        """The factor of an iteration, counted from 1."""
        return min(1.0, iteration / self.warmup) if self.warmup else 1.0


class Cosine(Constant):
    """Half a cosine from 1 at the start to `last` at iteration `iterations`, and `last` afterwards.

    SGDR, https://arxiv.org/abs/1608.03983, without restarts.

    Raises:
        ValueError: `iterations` is below 1, or `last` is not in [0, 1].
    """

    def __init__(self, warmup: int, iterations: int, last: float):
        super().__init__(warmup)
        self.iterations = integer("descent.schedule.iterations", iterations, 1)
        self.last = number("descent.schedule.last", last, 0, 1)

    def __call__(self, iteration: int) -> float:
        """The factor of an iteration, counted from 1."""
        done = min(1.0, iteration / self.iterations)
        return super().__call__(iteration) * (self.last + (1 - self.last) * (1 + math.cos(math.pi * done)) / 2)


class Step(Constant):
    """Multiply by `factor` every `every` iterations.

    Raises:
        ValueError: `every` is below 1, or `factor` is not in (0, 1].
    """

    def __init__(self, warmup: int, every: int, factor: float):
        super().__init__(warmup)
        self.every = integer("descent.schedule.every", every, 1)
        self.factor = number("descent.schedule.factor", factor, 0, 1, above=True)

    def __call__(self, iteration: int) -> float:
        """The factor of an iteration, counted from 1."""
        return super().__call__(iteration) * self.factor ** ((iteration - 1) // self.every)
