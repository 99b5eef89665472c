"""What a run's folder says about its cell: not begun, unfinished, done or failed. No torch."""

import functools
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dip_lab.checks import one_line
from dip_lab.runs.files import write_json, write_text
from dip_lab.runs.record import refuse_malformed

log = logging.getLogger(__name__)
RESULT = "result.json"
ERROR = "error.txt"
PREVIEW = "restoration.png"  # what a fit has reached, renewed while it runs
WEIGHTS = Path("checkpoints", "weights.pt")  # the network as its last iteration left it
BEST = Path("checkpoints", "best.ckpt")  # the best weights of a training


def read_result(folder: Path) -> dict[str, Any] | None:
    """The summary of a run, in the shape of `dip_lab.runs.record`; None while there is none.

    One that cannot be read is named once, and counts as none.
    """
    path = folder / RESULT
    try:
        result = _parsed(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        _name(path, f"cannot be read ({one_line(error)})")
        return None
    if not _is_ours(result):
        _name(path, "was not written by dip_lab")
        return None
    try:
        refuse_malformed(result)
    except ValueError as error:
        _name(path, f"cannot be read ({one_line(error)})")
        return None
    return result


def is_unreadable(folder: Path) -> bool:
    """Whether there is a result.json that says nothing: damaged, malformed or another program's."""
    return (folder / RESULT).is_file() and read_result(folder) is None


def has_record(folder: Path) -> bool:
    """Whether a run has written there: it has a result.json, which may be damaged, but is not another program's."""
    return (folder / RESULT).is_file() and not is_foreign(folder)


def is_foreign(folder: Path) -> bool:
    """Whether the result.json there is another program's."""
    try:
        return not _is_ours(_parsed(folder / RESULT))
    except (OSError, ValueError, RecursionError):
        return False


def _parsed(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    result = json.loads(text)
    if "\\ud" not in text.lower():
        return result
    # A byte of a file's name that is not UTF-8, which neither a terminal nor a plot takes, becomes a question mark.
    return json.loads(json.dumps(result, ensure_ascii=False).encode(errors="replace"))


def _is_ours(result: Any) -> bool:
    return isinstance(result, dict) and isinstance(result.get("status"), str)


@functools.cache
def _name(path: Path, trouble: str) -> None:
    log.warning("%s %s: the run counts as unfinished", path, trouble)


def is_done(folder: Path) -> bool:
    """Whether the cell has been computed."""
    result = read_result(folder)
    return bool(result) and result["status"] == "done"


def begin(folder: Path, known: dict[str, Any]) -> None:
    """Say in result.json that a cell has begun, unless an interrupted fit left its scores there."""
    (folder / ERROR).unlink(missing_ok=True)
    result = read_result(folder)
    if result is None or result["status"] == "failed":
        write_json(folder / RESULT, {**known, "status": "unfinished"})


def record_failure(folder: Path, known: dict[str, Any], error: Exception) -> None:
    """Say in result.json that a cell failed, and in error.txt where; unless there is no room even for that."""
    if is_foreign(folder):
        return
    try:
        try:
            told = "".join(traceback.format_exception(error))
        except MemoryError:  # it reads the sources
            told = f"{one_line(error)}\n"
        write_text(folder / ERROR, told)
        write_json(folder / RESULT, {**known, "status": "failed", "error": one_line(error)})
    except (OSError, MemoryError) as failure:
        if not isinstance(error, OSError):  # otherwise the disk is full, and the error itself says so
            log.error("%s", one_line(failure))


def settled(folder: Path, retry_failed: bool, is_written: Callable[[Path], bool] | None = None
            ) -> dict[str, Any] | None:
    """The summary of a cell that need not be computed: it is done, or it failed and is not to be tried again.

    Args:
        folder: the cell's.
        retry_failed: a cell that failed is computed again.
        is_written: whether the answer's file is there, by its path without a suffix. A cell that is done without it is
            not settled: fitted on from its last checkpoint, it gives the same answer again. None: any file will do.
    """
    result = read_result(folder)
    if not result or result["status"] not in (("done",) if retry_failed else ("done", "failed")):
        return None
    wanting = result["status"] == "done" and "answer" in result and is_written is not None
    return None if wanting and not is_written(folder / result["answer"]) else result
