"""What a run may write and remove: nothing that is the user's. No torch."""

import glob
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dip_lab.checks import plain_name
from dip_lab.runs.files import remove_abandoned
from dip_lab.runs.folder import ERROR, PREVIEW, RESULT, WEIGHTS, begin, has_record, is_foreign, read_result
from dip_lab.runs.identity import Cell

# The files of a run, and the folders of its trackers; {answer} is the picture's name, such as dip_denoised.
WRITTEN = (RESULT, ERROR, PREVIEW, "history.csv", "stopping.csv", "frames.csv", "image.npy", "deviation.npy",
           "target.png", "observed.png", "latent.png", "uncertainty.png", "error.png",
           "{answer}.*", "{answer}_curves.png", "{answer}_panel.png", "{answer}_side_by_side.mp4",
           "{answer}/[0-9]*.png",
           "checkpoints/[0-9]*.pt", str(WEIGHTS), "snapshots/[0-9]*.png", "csv/metrics.csv", "csv/hparams.yaml",
           "tensorboard/events.out.tfevents.*", "tensorboard/hparams.yaml",
           "wandb/*run-*", "wandb/latest-run", "wandb/debug*.log")
PARTS = ("parts/[0-9]*", "seed[0-9]*")  # each of them a folder with such files
OF_A_GROUP = ("summary.csv", "summary.md", "curves.png", "stopping.md", "report.html")


def protect(cell: Cell, rerun: bool, inputs: Sequence[str | Path] = (), here: Path | None = None) -> None:
    """Refuse a folder in which a run would overwrite or remove what is not its own.

    Args:
        cell: with a folder.
        rerun: an earlier fit there is going to be removed.
        inputs: files that are read beside those that the config names.
        here: the folder where the command was typed. Default: the current one.

    Raises:
        ValueError: it names the file, or the folder.
    """
    folder, answer = cell.folder, answer_of(cell)
    _refuse_foreign(folder, answer)
    _refuse_inputs(folder, answer, [*_paths(cell.config), *inputs], rerun)
    if rerun and has_record(folder) and (here or Path.cwd()).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"rerun=true: {folder} is the folder you are in: nothing is removed there")


def begin_cell(cell: Cell, rerun: bool) -> None:
    """Say in a protected folder that the cell has begun; with `rerun`, remove what an earlier fit left there."""
    if rerun:
        start_over(cell.folder, answer_of(cell))
    begin(cell.folder, cell.description | cell.provenance)


def answer_of(cell: Cell) -> str:
    """The name of the restored picture, without its suffix."""
    return str(cell.config["task"]["answer"])


def check_answer(name: object) -> None:
    """Refuse a name for the restored picture by which it would lie elsewhere, or replace another file of the run.

    Raises:
        ValueError: not a plain name, or one of ours.
    """
    answer = plain_name("task.answer", name).lower()
    ours = {pattern.partition("/")[0].partition(".")[0] for pattern in WRITTEN} | {"dip_lab", "parts"}
    if answer.partition(".")[0] in ours or re.fullmatch(r"seed\d+", answer):
        raise ValueError(f"task.answer={name}: a run writes a file or folder of this name itself: choose another one")


def start_over(folder: Path, answer: str) -> None:
    """Remove the files of an earlier fit, and the folders that are empty then."""
    earlier = (read_result(folder) or {}).get("answer", answer)
    for path in {*written(folder, answer), *written(folder, str(earlier))}:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for parent, _, _ in os.walk(folder, topdown=False):
        remove_abandoned(Path(parent))
        if Path(parent) != folder and not any(Path(parent).iterdir()) and Path(parent).name != ".hydra":
            Path(parent).rmdir()


def written(folder: Path, answer: str) -> Iterator[Path]:
    """The files there that have the names of a run's, and those of its parts."""
    for pattern in WRITTEN:
        place, _, name = pattern.format(answer=glob.escape(answer)).rpartition("/")
        yield from folder.glob(os.path.join(place, name))
    for pattern in PARTS:
        for part in folder.glob(pattern):
            yield from written(part, answer)


def refuse_group(group: Path) -> None:
    """Refuse a folder for a sweep whose tables would replace files that no sweep has written.

    Raises:
        ValueError: it names the first of them.
    """
    found = [group / name for name in OF_A_GROUP if (group / name).exists()]
    if found and not any(read_result(path.parent) for path in group.glob(f"*/{RESULT}")):
        raise ValueError(f"{found[0]}: this sweep would replace it, and no sweep is recorded there: move it away, or "
                         "choose another folder with name=... or hydra.sweep.dir=...")


def refuse_another_experiment(folder: Path, expected: str) -> None:
    """Refuse a folder that holds another experiment.

    Raises:
        ValueError: its record has another hash than the expected one, or is another program's.
    """
    _refuse_foreign_record(folder)
    found = (read_result(folder) or {}).get("config_hash", expected)
    if found != expected:
        raise ValueError(f"{folder} holds the run of another experiment or picture ({found}, this is {expected}): "
                         "choose another folder, or replace it with rerun=true")


def refuse_another_picture(folder: Path, digest: str) -> None:
    """Refuse a folder that holds the restoration of another observation, which the hash does not know of an array.

    Raises:
        ValueError: its record has another digest of what was observed.
    """
    if (read_result(folder) or {}).get("observation", digest) != digest:
        raise ValueError(f"{folder} holds the run of another experiment or picture: choose another folder")


def _refuse_foreign_record(folder: Path) -> None:
    if is_foreign(folder):
        raise ValueError(f"{folder / RESULT} was not written by dip_lab: choose another folder, or move it away")


def _refuse_foreign(folder: Path, answer: str) -> None:
    _refuse_foreign_record(folder)
    if not has_record(folder) and (found := next(written(folder, answer), None)):
        raise ValueError(f"{found} is there already, and no run that is recorded in this folder has written it: "
                         "choose another folder, or move it away")


def _refuse_inputs(folder: Path, answer: str, inputs: Sequence[str | Path], rerun: bool) -> None:
    folder, removes = folder.resolve(), rerun and has_record(folder)
    replaced = {path.resolve() for path in written(folder, answer)}
    for each in inputs:
        path = Path(os.path.expanduser(each)).resolve()
        if path in replaced or (removes and path.is_relative_to(folder)):
            raise ValueError(f"{each} is read, and lies in {folder}, whose files this run would replace: "
                             "choose another folder")


def _paths(node: Any) -> Iterator[str]:
    """The strings of a config that name a file or a folder."""
    if isinstance(node, Mapping | list | tuple):
        for item in node.values() if isinstance(node, Mapping) else node:
            yield from _paths(item)
    elif isinstance(node, str) and node and os.path.exists(os.path.expanduser(node)):
        yield node
