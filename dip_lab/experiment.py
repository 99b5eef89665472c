"""One cell, from config to restoration: the page to read first."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

import pytorch_lightning as pl
from omegaconf import DictConfig

from dip_lab.build import Plan, build
from dip_lab.callbacks.interrupt import hand_over
from dip_lab.data.images import Images
from dip_lab.frames import stacked
from dip_lab.mistakes import building
from dip_lab.results.conclude import conclude_baseline
from dip_lab.results.presented import presented
from dip_lab.results.restoration import Restoration, kept
from dip_lab.runs.folder import has_record
from dip_lab.runs.identity import Cell
from dip_lab.runs.ours import begin_cell, refuse_another_picture
from dip_lab.runs.trajectory import go_on
from dip_lab.splits.split import Piece, Split

log = logging.getLogger(__name__)


def run(cfg: DictConfig, cell: Cell, images: Images | None = None,
        callbacks: Sequence[pl.Callback] = ()) -> Restoration:
    """Fit a network to a picture, or restore it by a baseline: build, split, fit, join, write.

    Args:
        cfg: the composed config, without the node `hydra`.
        cell: its identity and its folder; an earlier, unfinished fit there is continued.
        images: used instead of those of `cfg.data`.
        callbacks: more Lightning callbacks, such as a notebook's live curve.

    Raises:
        ValueError: something in the config, the picture or the mask cannot work; raised before the first iteration.
    """
    with building():
        plan = build(cfg, cell, images, callbacks)
    if cell.folder:
        refuse_another_picture(cell.folder, plan.whole.problem.digest())
    if (noise := plan.whole.problem.noise_estimate) is not None:
        log.info("%s: %s", plan.whole.problem.name, noise)
    with plan.tracker:
        restoration = restored_by_baseline(plan) if plan.baseline else restored(plan, plan.whole, plan.splits)
        with kept(restoration, cell.folder):
            restoration = presented(restoration, plan.whole.problem, plan.fps)
            restoration = replace(restoration, info=plan.answer.info(restoration.image.shape[1]))
            if cell.folder:
                restoration.save(cell.folder, plan.answer.files)
        plan.tracker.report(restoration)
    if restoration.summary.status == "interrupted":
        hand_over(restoration.summary.stop_reason.split()[-1])
    return restoration


def begin(cfg: DictConfig, cell: Cell, images: Images | None = None) -> None:
    """Prepare the cell's folder, which is protected: with `rerun`, what an earlier fit left there is removed.

    Before that, all is built once without the folder, so that a mistake does not cost the earlier fit.

    Raises:
        ValueError: as `run`.
    """
    if cfg.rerun and has_record(cell.folder):
        logging.disable()  # `run` says it all again
        try:
            with building():
                plan = build(cfg, replace(cell, folder=None), images)
                if not plan.baseline:
                    plan.fit(_first(plan.whole, plan.splits))
        finally:
            logging.disable(logging.NOTSET)
    begin_cell(cell, cfg.rerun)
    if not cfg.rerun:
        go_on(cell)


def _first(piece: Piece, splits: Sequence[Split]) -> Piece:
    for split in splits:
        piece = next(split.pieces(piece)) if split.divides(piece) else piece
    return piece


def restored(plan: Plan, piece: Piece, splits: Sequence[Split]) -> Restoration:
    """The restoration of a piece: fitted, or joined from those of the pieces that it is split into."""
    if not splits:
        with building():  # what cannot work is refused before a tracker opens
            fit = plan.fit(piece)
        loggers = plan.tracker.open()
        return fit.run(loggers if piece.tracked else ())
    split, *inner = splits
    if not split.divides(piece):
        return restored(plan, piece, inner)
    members = []
    for each in split.pieces(piece):
        member = each.stored() or each.store(restored(plan, each, inner))
        members.append(member)
        if each.title:
            log.info("%s: %s", each.title, member.summary.stop_reason)
        if not member.is_done:
            break
    return split.join(piece, members)


def restored_by_baseline(plan: Plan) -> Restoration:
    """What a method that fits nothing makes of the observation, frame by frame."""
    started = time.perf_counter()
    problem, count = plan.whole.problem, len(plan.whole.problem.observation)
    image = stacked((plan.baseline(problem.part(slice(t, t + 1))) for t in range(count)), count)
    seconds = time.perf_counter() - started
    return conclude_baseline(problem, plan.whole.cell, image, seconds, getattr(plan.baseline, "about", None))
