"""What a run's folder says about its cell: not begun, unfinished, done or failed. No torch."""

import json
import logging
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dip_lab.checks import one_line
from dip_lab.runs.claims import LOCK
from dip_lab.runs.files import write_json, write_text

log = logging.getLogger(__name__)
RESULT = "result.json"
ERROR = "error.txt"
PREVIEW = "restoration.png"  # what a fit has reached, renewed while it runs
WEIGHTS = Path("checkpoints", "weights.pt")  # the network as its last iteration left it


def read_result(folder: Path) -> dict[str, Any] | None:
    """The summary of a run, or None while there is none."""
    try:
        return json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


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
    try:
        write_text(folder / ERROR, "".join(traceback.format_exception(error)))
        write_json(folder / RESULT, {**known, "status": "failed", "error": one_line(error)})
    except OSError as failure:
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


def start_over(folder: Path) -> None:
    """Remove what an earlier fit left in the folder, except the lock and Hydra's record."""
    for entry in folder.iterdir():
        if entry.name in (LOCK, ".hydra", "dip_lab.log"):
            continue
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
