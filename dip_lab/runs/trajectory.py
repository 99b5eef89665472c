"""More iterations of a finished fit: the longer one goes on where the shorter one ended. No torch until there is one.

A checkpoint holds the whole fit, and every random number is a function of the iteration: a fit that goes on is bit for
bit the one that was never ended. What depends on the number of iterations, such as a cosine schedule, names it in the
config and so changes the trajectory's hash: such a fit begins anew.
"""

import csv
import glob
import io
import logging
import shutil
from pathlib import Path
from typing import Any

from dip_lab.checks import one_line
from dip_lab.runs.files import write_text
from dip_lab.runs.folder import RESULT, read_result
from dip_lab.runs.identity import Cell, selected
from dip_lab.runs.proved import write_proved

log = logging.getLogger(__name__)


def go_on(cell: Cell) -> None:
    """Copy into a new cell what it needs to go on from the longest finished one that had fewer iterations.

    Looks in the folders of its group. A fit that cannot be continued costs a line, and the cell begins anew.
    """
    if cell.options["baseline"] or any(cell.folder.rglob("checkpoints")):
        return
    others = cell.folder.parent.glob(f"{glob.escape(cell.name.removesuffix(cell.hash))}*/{RESULT}")
    shorter = []
    for path in others:
        result = read_result(path.parent) or {}
        taken = selected(result, "config.iterations")
        # Results of earlier versions have no such hash.
        if result.get("trajectory_hash") == cell.trajectory and result["status"] == "done" and isinstance(taken, int):
            shorter.append((taken, path.parent, result.get("config_hash", "")))
    for iterations, folder, identity in sorted(shorter, reverse=True):
        if iterations >= cell.config["iterations"]:
            continue
        try:
            pieces = [path.parent for path in folder.rglob("checkpoints/")]
            for piece in pieces:
                _copy(piece, cell.folder / piece.relative_to(folder), identity, cell)
        except Exception as error:  # the reader of a damaged file may raise anything
            log.warning("%s cannot be continued (%s)", folder, one_line(error)[:200])
            continue
        if pieces:
            log.info("goes on from %s, which was fitted with iterations=%d", folder.name, iterations)
            return


def _copy(old: Path, new: Path, identity: str, cell: Cell) -> None:
    """The newest sound checkpoint of a fit, with the curves and the snapshots so far; it becomes that of another cell.
    """
    import torch

    name, state = _newest(old / "checkpoints")
    state["experiment"] = cell.hash + state["experiment"].removeprefix(identity)
    iteration, every = state["iteration"], cell.config["log_every"]
    heading, *rows = csv.reader((old / "history.csv").read_text(encoding="utf-8").splitlines())
    if iteration % every and iteration != 1 and not state["parts"]["stopping"]["reason"]:
        rows = [row for row in rows if row[0] != str(iteration)]  # logged only because it was the last
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heading, *rows])
    write_text(new / "history.csv", text.getvalue())
    if (old / "snapshots").is_dir():
        shutil.copytree(old / "snapshots", new / "snapshots", dirs_exist_ok=True)
    write_proved(new / "checkpoints" / name, lambda file: torch.save(state, file))


def _newest(folder: Path) -> tuple[str, dict[str, Any]]:
    """(name, content) of the newest sound checkpoint; one that is damaged costs a line.

    Raises:
        ValueError: there is none.
    """
    from dip_lab.callbacks.checkpoint import read_checkpoint

    for path in sorted(folder.glob("[0-9]*.pt"), reverse=True):
        try:
            return path.name, read_checkpoint(path)
        except Exception as error:  # the reader of a malformed file may raise anything
            log.warning("%s: %s: trying the one before it", path, one_line(error)[:200])
    raise ValueError(f"{folder} has no sound checkpoint")
