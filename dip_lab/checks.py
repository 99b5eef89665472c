"""The checks of values from YAML and the command line; each error is one line, `key=value: remedy`. No torch."""

import os
import sys
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

from dip_lab.plain import printable

LARGEST = sys.float_info.max
LONGEST_NAME = 100  # bytes: file systems take 255, and some names get an ending


def one_line(error: BaseException) -> str:
    """What a person needs to know of an error, on one line."""
    if isinstance(error, FileExistsError) and os.path.islink(error.filename) and not os.path.exists(error.filename):
        return printable(f"{error.filename}: a link to {os.readlink(error.filename)}, which is not there")
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename or 'a file'}: {error.strerror}")
    return printable(" ".join(str(error).split())) or type(error).__name__


def number(
    key: str, value: object, low: float, high: float = LARGEST, *, above: bool = False, below: bool = False
) -> float:
    """`value` as a float when it is a number with low <= value <= high.

    `above` and `below` refuse the ends themselves. NaN is always refused, infinity unless `high` is infinite.

    >>> number("average.decay", "abc", 0, 1, below=True)
    Traceback (most recent call last):
    ValueError: average.decay=abc: give a number at least 0 and below 1
    """
    inside = _is_a(value, Real) and low <= value <= high
    if not inside or (above and value == low) or (below and value == high):
        least = f"{'above' if above else 'at least'} {low:g}"
        most = "" if high >= LARGEST else f" and {'below' if below else 'at most'} {high:g}"
        raise _refusal(key, value, f"give a number {least}{most}")
    return float(value)


def whole(value: Any) -> Any:
    """A float that is a whole number as an int; any other value as it is.

    >>> whole(1e3), whole(0.5)
    (1000, 0.5)
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def integer(key: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """`value` as an int when it is a whole number, such as 1e3, from `low` to `high`; None: no limit."""
    value = whole(value)
    if not _is_a(value, Integral) or (low is not None and value < low) or (high is not None and value > high):
        span = "" if low is None else f" of at least {low}" if high is None else f" from {low} to {high}"
        raise _refusal(key, value, f"give a whole number{span}")
    return int(value)


def one_of(key: str, value: Any, choices: Collection) -> Any:
    """The one of `choices` that `value` is (True is not 1 here)."""
    if isinstance(value, bool) or value not in tuple(choices):
        *others, last = map(str, choices)
        raise _refusal(key, value, f"choose {', '.join(others)} or {last}")
    return next(choice for choice in choices if choice == value)


def flag(key: str, value: object) -> bool:
    """`value` when it is true or false: "false" in quotes would count as true."""
    if not isinstance(value, bool):
        raise _refusal(key, value, "choose true or false")
    return value


def file_name(key: str, value: object) -> str | None:
    """`value` when it is a text, which names a file, or None.

    >>> file_name("task.observation", 1000)
    Traceback (most recent call last):
    ValueError: task.observation=1000: give the name of a file, in quotes if it looks like something else
    """
    if value is not None and not isinstance(value, str):
        raise _refusal(key, value, "give the name of a file, in quotes if it looks like something else")
    return value


def plain_name(key: str, value: object) -> str:
    """`value` as the name of a file or folder inside another: no path, nothing hidden, nothing that no system takes.

    >>> plain_name("name", "../elsewhere")
    Traceback (most recent call last):
    ValueError: name=../elsewhere: give one plain name, without / or \\, that does not begin with a dot
    """
    text = "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value)
    if not text.isprintable() or not text.strip() or text[0] == "." or {"/", "\\"} & set(text):
        raise _refusal(key, value, "give one plain name, without / or \\, that does not begin with a dot")
    if len(os.fsencode(text)) > LONGEST_NAME:
        raise _refusal(key, f"{text[:20]}...", f"a name has at most {LONGEST_NAME} bytes")
    return text


def _is_a(value: object, kind: type) -> bool:
    """isinstance, but True and False are not numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _refusal(key: str, value: object, remedy: str) -> ValueError:
    """The error, on one line whatever the value holds."""
    return ValueError(f"{key}={' '.join(str(value).split())}: {remedy}")
