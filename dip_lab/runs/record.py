"""The shape of a result.json: what every reader may rely on. No torch.

A key may be missing, since earlier versions wrote fewer of them. A key that is there has the type that is listed here.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from dip_lab.checks import LARGEST
from dip_lab.scores import OWN, SCORES, Score

STATUSES = ("unfinished", "interrupted", "done", "failed")
DEEPEST = 50  # levels of a record; readers descend it by recursion

WORDS = ("status", "picture", "observation", "answer", "config_hash", "trajectory_hash", "task")
WORDS_OR_NONE = ("data", "baseline", "net", "latent", "optimizer", "stopping", "average", "regularizer", "noise",
                 "error", "stop_reason", "device", "precision")
WHOLE = ("seed", "iterations", "chosen_iteration", "peak_iteration", "parameters", "frames", "jpeg_quality")
NUMBERS = ("psnr_last", "uncertainty_mean", "uncertainty_max")  # beside the scores
FLAGS = ("oracle",)
NAMED = ("config", "overrides", "versions")
NAMED_OR_NONE = ("noise_estimate", "restorer")
LISTED_OR_NONE = ("members", "parts", "guard_events", OWN)


def refuse_malformed(result: Mapping[str, Any]) -> None:
    """Return if a record has the shape that the readers rely on.

    Raises:
        ValueError: it names the first key that has another one.
    """
    for keys, is_right, what in (
            (WORDS, _is_word, "is no text"), (WORDS_OR_NONE, _or_none(_is_word), "is no text"),
            (FLAGS, lambda value: isinstance(value, bool), "is not true or false"),
            (WHOLE, _or_none(_is_whole), "is no whole number"),
            ((*SCORES, *NUMBERS), _or_none(_is_number), "is no number"),
            (NAMED, _is_named, "is no mapping"), (NAMED_OR_NONE, _or_none(_is_named), "is no mapping"),
            (LISTED_OR_NONE, _or_none(_is_list), "is no list of mappings")):
        for key in keys:
            if key in result and not is_right(result[key]):
                raise ValueError(f"{key} {what}")
    if result.get("status") not in STATUSES:
        raise ValueError(f"status is none of {', '.join(STATUSES)}")
    if not _is_plain(result.get("answer", "answer")):
        raise ValueError("answer is no plain name of a file")
    for entry in result.get(OWN) or ():
        _refuse_score(result, entry)
    for key, value in result.items():
        if key.endswith(("_output", "_average")) and not _or_none(_is_number)(value):
            raise ValueError(f"{key} is no number")
    if _is_deeper(result, DEEPEST):
        raise ValueError(f"more than {DEEPEST} levels")


def _refuse_score(result: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    """Refuse an entry for a score of the task's own that is no `Score`, or whose value is no number."""
    plain = Score("", "")
    wrong = [name for name, value in entry.items() if type(value) is not type(getattr(plain, name, None))]
    if wrong or not {"key", "name"} <= entry.keys() <= {each.name for each in fields(Score)}:
        raise ValueError(f"{OWN} does not describe a score")
    if not 0 <= entry.get("decimals", 0) <= 20 or not _or_none(_is_number)(result.get(entry["key"])):
        raise ValueError(f"{OWN} does not describe {entry['key']}")


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


def _is_word(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _is_whole(value: Any) -> bool:
    return _is_number(value) and math.trunc(value) == value


def _is_named(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_plain(name: str) -> bool:
    """Whether a name stays in its folder: the files of an earlier answer are removed by it."""
    return bool(name) and name not in (".", "..") and not set(name) & {"/", "\0"} and len(name) < 200


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)
