"""One check for the numbers a task's keys hold, with the error the person at the prompt needs."""

import math
from numbers import Integral, Real


def number(key: str, value: object, low: float, high: float = math.inf, *, above: bool = False) -> float:
    """`value` as a float when it is a finite number with low <= value <= high (low < value with `above`).

    Raises:
        ValueError: anything else, NaN included; the message names `key`, the value and the range.
    """
    real = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not real or not low <= value <= high or (above and value == low):
        least = f"{'above' if above else 'at least'} {low:g}"
        most = "" if math.isinf(high) else f" and at most {high:g}"
        raise ValueError(f"{key}={value}: give a number {least}{most}")
    return float(value)


def integer(key: str, value: object, low: int) -> int:
    """`value` when it is a whole number of at least `low`; else a ValueError that names `key`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{key}={value}: give a whole number of at least {low}")
    return int(value)


def one_of(key: str, value: object, choices: tuple) -> None:
    """Raise a ValueError that lists `choices` unless `value` is one of them (True is not 1 here)."""
    if isinstance(value, bool) or value not in choices:
        *others, last = choices
        raise ValueError(f"{key}={value}: choose {', '.join(map(str, others))} or {last}")
