"""The restoration of a problem whose parts were restored one by one: tiles of a picture, chunks of a clip."""

import io
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from dip_lab.problem import Problem
from dip_lab.results.conclude import of_the_cell, scores_of
from dip_lab.results.history import COLUMNS, History
from dip_lab.results.restoration import Restoration
from dip_lab.runs import RESULT, config_hash, read_result, write_atomic, write_json

log = logging.getLogger(__name__)
IMAGE = "image.npy"  # of a part, as it was computed: blending must not wait for it again, nor round it
OF_A_PART = ("psnr", "chosen_iteration", "iterations", "seconds", "status")


def store(place: Path, member: Restoration) -> Restoration:
    """Keep a part's image and summary, the summary last; what is returned has its image in the file, not in memory."""
    if read_result(place) != member.summary:
        buffer = io.BytesIO()
        np.save(buffer, member.image.numpy())
        write_atomic(place / IMAGE, buffer.getvalue())
        write_json(place / RESULT, member.summary)
    return replace(member, image=_mapped(place), pictures={})


def stored(place: Path, problem: Problem) -> Restoration | None:
    """The part that an earlier launch finished; None where it did not, or where it was of another observation."""
    summary = read_result(place)
    if not summary or summary["status"] != "done" or summary["observation"] != problem.digest():
        return None
    try:
        image = _mapped(place)
    except (OSError, ValueError, EOFError) as error:
        log.warning("%s cannot be read (%s): fitting this part again", place / IMAGE, error)
        return None
    return Restoration(image, summary, _history_of(place), {}, problem.answer, [])


def of_parts(cfg: DictConfig, choices: Mapping[str, str], problem: Problem, members: Sequence[Restoration],
             image: Tensor, folder: Path | None) -> Restoration:
    """The blended image, scored as a whole; the curves, in the run's `history.csv`, are the means of the parts'."""
    first, last = members[0].summary, members[-1].summary
    history = History(members[0].history.columns, folder / "history.csv" if folder else None)
    history.rows = _mean_rows([member.history.rows for member in members])
    if folder:
        history.write()
    summary = {
        **first,
        **of_the_cell(cfg, choices, problem),
        **scores_of(problem, image),
        **problem.final_scores(image),
        **scores_of(problem, None, "_output"),
        **scores_of(problem, None, "_average"),
        "status": last["status"],
        "error": last["error"],
        "stop_reason": last["stop_reason"],
        "parts": [{key: member.summary[key] for key in OF_A_PART} for member in members],
        "iterations": sum(member.summary["iterations"] for member in members),
        "chosen_iteration": round(fmean(member.summary["chosen_iteration"] for member in members)),
        # What a part has is not comparable with what the whole has.
        **dict.fromkeys(("psnr_held_out", "psnr_last", "psnr_peak", "peak_iteration")),
        "guard_events": [event for member in members for event in member.summary["guard_events"]],
        "seconds": round(sum(member.summary["seconds"] for member in members), 3),
        "peak_memory_mb": max(member.summary["peak_memory_mb"] for member in members),
        "config_hash": config_hash(cfg),
    }
    return Restoration(image, summary, history, problem.pictures(), problem.answer, [])


def _mean_rows(histories: Sequence[Sequence[dict[str, float]]]) -> list[dict[str, float]]:
    """The mean of each column over the parts that have a row of that iteration; seconds are added up."""
    by_iteration: dict[float, list[dict[str, float]]] = {}
    for rows in histories:
        for row in rows:
            by_iteration.setdefault(row["iteration"], []).append(row)
    means = []
    for iteration, rows in sorted(by_iteration.items()):
        if len(rows) == len(histories):  # later ones are of those parts only that took longest
            means.append({"iteration": iteration} | {
                key: (math.fsum if key == "seconds" else fmean)(row[key] for row in rows)
                for key in rows[0] if key != "iteration"})
    return means


def _mapped(place: Path) -> Tensor:
    """A part's image, read from its file where it is looked at."""
    return torch.from_numpy(np.load(place / IMAGE, mmap_mode="c"))


def _history_of(place: Path) -> History:
    history = History(COLUMNS, place / "history.csv")
    history.resume(10**12)
    history.path = None
    return history
