"""One fit, from config to restoration: the page to read first."""

import contextlib
import itertools
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from torch import nn

from dip_lab.callbacks.curves import Curves
from dip_lab.callbacks.interrupt import Interrupt, hand_over
from dip_lab.callbacks.snapshots import Snapshots
from dip_lab.callbacks.stopping import Stopping
from dip_lab.checks import integer, number, one_of
from dip_lab.generator import Generator
from dip_lab.images import Picture, poster, stacked
from dip_lab.instantiate import instantiate
from dip_lab.latents.compatible import check_latent
from dip_lab.latents.image import ImageLatent
from dip_lab.loggers.images import log_image
from dip_lab.memory import check_memory
from dip_lab.module import DeepImagePrior, Iterations
from dip_lab.nets.weights import initialise, load_weights, save_weights
from dip_lab.optimizers.weight_noise import WeightNoise
from dip_lab.parts import Part, blended, parts_of
from dip_lab.problem import Problem, build_problem
from dip_lab.randomness import seed_of
from dip_lab.regularizers.regularizer import Together
from dip_lab.results.conclude import conclude, conclude_baseline, mean_of_seeds
from dip_lab.results.history import COLUMNS, History
from dip_lab.results.pieces import of_parts, store, stored
from dip_lab.results.presented import presented
from dip_lab.results.restoration import Restoration
from dip_lab.runs import config_hash
from dip_lab.speed import autocast_dtype
from dip_lab.video.generator import ClipGenerator
from dip_lab.video.volume import over_time

log = logging.getLogger(__name__)
# Keys of a group that its option does not take: run.yaml has them for all options, and they are read here.
COMMON = {"net": ("lr", "init", "init_from"), "optimizer": ("schedule", "clip", "weight_noise"),
          "stopping": ("shadow",), "average": ("seeds",)}


def fit(cfg: DictConfig, choices: Mapping[str, str], folder: Path | None, picture: Picture | None = None,
        callbacks: Sequence[pl.Callback] = ()) -> Restoration:
    """Fit one network to one picture, or restore it by a baseline.

    Args:
        cfg: the composed config.
        choices: the chosen option of each group, for the summary.
        folder: the run's folder; what an earlier, unfinished fit left there is continued. None: nothing is written.
        picture: instead of `cfg.data`.
        callbacks: more Lightning callbacks, such as a notebook's live curve.

    Raises:
        ValueError: something in the config, the picture or the mask cannot work; before the first iteration.
    """
    check(cfg)
    problem = build_problem(cfg.task, picture or instantiate(cfg.data).load(), cfg.seed)
    run = plan(cfg, choices, folder, problem, callbacks)  # what cannot work is refused before a tracker opens
    with tracker(cfg) as loggers, quiet():
        restoration = presented(run(loggers), problem, cfg.video.fps)
        if folder:
            restoration.save(folder)
        report(loggers, restoration)
    if restoration.summary["status"] == "interrupted":
        hand_over(restoration.summary["stop_reason"].split()[-1])
    return restoration


def plan(cfg: DictConfig, choices: Mapping[str, str], folder: Path | None, problem: Problem,
         callbacks: Sequence[pl.Callback]) -> Callable[[Sequence[Logger]], Restoration]:
    """What makes the restoration, given the trackers: a baseline, one fit, or one for each part of the problem."""
    if cfg.baseline:
        return by_baseline(cfg, choices, problem)
    mode = instantiate(cfg.video)
    parts = parts_of(problem.image_shape, mode.chunk, mode.overlap, cfg.tile, cfg.tiling.overlap, problem.operator.unit)
    if len(parts) == 1:
        return fit_of(cfg, choices, folder, problem, callbacks)
    if cfg.tiling.network == "one" and len(problem.observation) == 1:
        return by_one_network(cfg, choices, folder, problem, parts, callbacks)
    return by_parts(cfg, choices, folder, problem, parts, callbacks)


def fit_of(cfg: DictConfig, choices: Mapping[str, str], folder: Path | None, problem: Problem,
           callbacks: Sequence[pl.Callback]) -> Callable[[Sequence[Logger]], Restoration]:
    """A fit of the whole problem, or the mean of several that differ in their seed."""
    run = prepare(cfg, choices, folder, problem.part(), callbacks)

    def mean(loggers: Sequence[Logger]) -> Restoration:
        members = [run(loggers)]
        if members[0].is_done:
            members += other_seeds(cfg, choices, folder, problem, callbacks)
        return mean_of_seeds(members, problem, config_hash(cfg))

    return run if cfg.average.seeds == 1 else mean


def by_parts(cfg: DictConfig, choices: Mapping[str, str], folder: Path | None, problem: Problem, parts: Sequence[Part],
             callbacks: Sequence[pl.Callback]) -> Callable[[Sequence[Logger]], Restoration]:
    """A fit of each part, in a folder of its own inside the run's, blended; what is done there is not done again."""

    def job_of(index: int) -> Callable[[Sequence[Logger]], Restoration]:
        part = parts[index]
        place = folder / "parts" / f"{index:04d}" if folder else None
        piece = problem.part(part.frames, *part.window)
        done = place and stored(place, piece)
        return (lambda loggers: done) if done else fit_of(cfg, choices, place, piece, callbacks)

    first = job_of(0)

    def run(loggers: Sequence[Logger]) -> Restoration:
        members = []
        for index in range(len(parts)):
            member = (job_of(index) if index else first)([])
            members.append(store(folder / "parts" / f"{index:04d}", member) if folder else member)
            log.info("part %d of %d: %s", index + 1, len(parts), member.summary["stop_reason"])
            if not member.is_done:
                break
        missing = (problem.part(part.frames, *part.window).observed() for part in parts[len(members):])
        image = blended(parts, itertools.chain((member.image for member in members), missing), problem.image_shape)
        return of_parts(cfg, choices, problem, members, image, folder)

    return run


def by_one_network(cfg: DictConfig, choices: Mapping[str, str], folder: Path | None, problem: Problem,
                   parts: Sequence[Part],
                   callbacks: Sequence[pl.Callback]) -> Callable[[Sequence[Logger]], Restoration]:
    """One network for all tiles of a picture: to the fit they are the frames of a clip that does not move."""
    tiles = problem.stacked([part.window for part in parts])
    still = OmegaConf.merge(cfg, {"video": {"batch": 1, "keyframes": 1, "kernel": 1}})
    fitted = fit_of(still, choices, folder, tiles, callbacks)

    def run(loggers: Sequence[Logger]) -> Restoration:
        member = fitted(loggers)
        image = blended(parts, member.image.split(1), problem.image_shape)
        return of_parts(cfg, choices, problem, [member], image, folder)

    return run


def by_baseline(cfg: DictConfig, choices: Mapping[str, str],
                problem: Problem) -> Callable[[Sequence[Logger]], Restoration]:
    """What a method without a network makes of the observation, as `prepare` would give it; there are no curves."""
    started = time.perf_counter()
    baseline = instantiate(cfg.baseline)
    count = len(problem.observation)
    image = stacked((baseline(problem.part(slice(t, t + 1))) for t in range(count)), count)
    seconds = time.perf_counter() - started
    restoration = conclude_baseline(cfg, choices, problem, image, seconds, History(COLUMNS, None))
    return lambda loggers: restoration


def other_seeds(cfg: DictConfig, choices: Mapping[str, str], folder: Path | None, problem: Problem,
                callbacks: Sequence[pl.Callback]) -> Iterator[Restoration]:
    """The fits with the next seeds, each in a folder of its own inside the run's; an interrupted one is the last."""
    for seed in range(cfg.seed + 1, cfg.seed + cfg.average.seeds):
        place = folder / f"seed{seed}" if folder else None
        restoration = prepare(OmegaConf.merge(cfg, {"seed": seed}), choices, place, problem.part(), callbacks)([])
        if place:
            restoration.save(place)
        yield restoration
        if not restoration.is_done:
            return


def prepare(cfg: DictConfig, choices: Mapping[str, str], folder: Path | None, problem: Problem,
            callbacks: Sequence[pl.Callback]) -> Callable[[Sequence[Logger]], Restoration]:
    """Build one fit of one network; what runs it, given the trackers, writes all but the restoration's own files."""
    module = build_module(cfg, problem)
    on_gpu = cfg.device in ("auto", "cuda", "gpu") and torch.cuda.is_available()
    check_memory(module.generator, problem, torch.device("cuda" if on_gpu else "cpu"))
    rule, shadow = option(cfg, "stopping"), {name: instantiate(node) for name, node in cfg.stopping.shadow.items()}
    stopping = Stopping(rule, shadow)
    for each in (rule, *shadow.values()):
        each.setup(problem, cfg.seed, module.generator)
    guard, checkpoint, progress = (instantiate(cfg.callbacks[key]) for key in ("guard", "checkpoint", "progress"))
    interrupt = Interrupt(checkpoint.hurry)
    guard.stopping = checkpoint.stopping = progress.stopping = stopping
    checkpoint.guard, checkpoint.experiment = guard, f"{config_hash(cfg)}-{problem.digest()}"
    start = checkpoint.find(folder / "checkpoints") if folder else 0
    history = History(COLUMNS, folder / "history.csv" if folder else None)
    history.resume(start)
    progress.history, progress.iterations = history, cfg.iterations
    curves = Curves(history, cfg.log_every, stopping, lambda: checkpoint.fitted_seconds)
    snapshots = [Snapshots(folder / "snapshots", cfg.log_every_image)] if folder else []

    def run(loggers: Sequence[Logger]) -> Restoration:
        trainer = instantiate(
            cfg.trainer, logger=list(loggers), max_steps=max(0, cfg.iterations - start), max_epochs=-1,
            log_every_n_steps=1, gradient_clip_val=cfg.optimizer.clip,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
            # The order matters: the rule looks first, so that the guard's snapshot holds what it saw.
            callbacks=[stopping, guard, curves, *snapshots, checkpoint, interrupt, progress, *callbacks],
        )
        with interrupt:
            trainer.fit(module, Iterations(start + 1))
        if folder and interrupt.signal and checkpoint.iteration and not guard.broken_at_end:
            checkpoint.save(trainer, module)  # before the answer's weights, if it has its own, replace the fit's
        restoration = conclude(cfg, choices, module, stopping, guard, checkpoint, history,
                               device=trainer.strategy.root_device, interrupted=interrupt.name)
        if folder:
            save_weights(module.generator.net, folder)
        return restoration

    return run


def report(loggers: Sequence[Logger], restoration: Restoration) -> None:
    """Give the trackers the picture, the table of the stopping rules and the summary."""
    log_image(loggers, "restoration", poster(restoration.image), restoration.summary["iterations"] or 0)
    rows = [asdict(verdict) for verdict in restoration.verdicts]
    for logger in loggers:
        try:
            if hasattr(logger, "log_table") and rows:
                logger.log_table("stopping", columns=list(rows[0]), data=[list(row.values()) for row in rows])
            if hasattr(logger, "summarize"):
                logger.summarize(restoration.summary)
        except Exception as error:  # the files are written: a tracker that fails costs nothing
            log.warning("%s did not take the summary: %s", type(logger).__name__, error)


def check(cfg: DictConfig) -> None:
    """Refuse values that cannot work and that no class of ours checks."""
    for key in ("iterations", "log_every", "log_every_image"):
        integer(key, cfg[key], 1)
    integer("seed", cfg.seed)
    if cfg.tile is not None:
        integer("tile", cfg.tile, 2 * integer("tiling.overlap", cfg.tiling.overlap, 0) + 1)
    one_of("tiling.network", cfg.tiling.network, ("each", "one"))
    integer("average.seeds", cfg.average.seeds, 1)
    if cfg.optimizer.clip is not None:
        number("optimizer.clip", cfg.optimizer.clip, 0, above=True)
    if "lr" in cfg.optimizer:
        number("optimizer.lr", cfg.optimizer.lr, 0, above=True)
    devices = cfg.trainer.devices
    if devices != 1 and not (OmegaConf.is_list(devices) and len(devices) == 1):
        raise ValueError(f"trainer.devices={devices}: one fit uses one device; more devices run more cells of a sweep")
    autocast_dtype(cfg.precision, "cpu")


def option(cfg: DictConfig, group: str, **extra: Any) -> Any:
    """The object that a group's option names, built of that option's own keys."""
    own = {key: value for key, value in cfg[group].items() if key not in COMMON[group]}
    return instantiate(OmegaConf.create(own), **extra)


def build_module(cfg: DictConfig, problem: Problem) -> DeepImagePrior:
    """The method, ready to be fitted to a problem."""
    regularizer = Together({name: instantiate(node) for name, node in cfg.regularizer.items()})
    regularizer.setup(problem, cfg.seed)
    return DeepImagePrior(build_generator(cfg, problem), problem, regularizer, option(cfg, "average"),
                          option(cfg, "optimizer"), instantiate(cfg.optimizer.schedule),
                          WeightNoise(cfg.optimizer.weight_noise, cfg.seed))


def build_generator(cfg: DictConfig, problem: Problem) -> Generator:
    """The network behind its latent."""
    frames, channels, height, width = problem.image_shape
    if frames > 1:
        return build_clip_generator(cfg, problem)
    latent = instantiate(cfg.latent)
    latent.setup(problem)
    net = build_net(cfg, latent.depth, channels)
    check_latent(net, latent)
    return Generator(net, latent, (height, width), cfg.precision, cfg.seed, cfg.coarse_to_fine)


def build_clip_generator(cfg: DictConfig, problem: Problem) -> ClipGenerator:
    """One network behind the latents of a clip's keyframes; each frame is one where the latent is made of it."""
    mode = instantiate(cfg.video)
    frames, channels, height, width = problem.image_shape
    latents = [instantiate(cfg.latent)]
    step = 1 if isinstance(latents[0], ImageLatent) else mode.keyframes
    places = range(0, frames - 1 + step, step)
    latents += [instantiate(cfg.latent) for _ in places[1:]]
    for place, latent in zip(places, latents, strict=True):
        t = min(place, frames - 1)
        latent.setup(problem.part(slice(t, t + 1)))
    net = build_net(cfg, latents[0].depth, channels, mode.kernel)
    check_latent(net, latents[0])
    return ClipGenerator(net, latents, channels, frames, step, mode.batch, (height, width), cfg.precision, cfg.seed,
                         cfg.coarse_to_fine)


def build_net(cfg: DictConfig, in_channels: int, out_channels: int, frames: int = 1) -> nn.Module:
    """The network of `cfg.net` alone, whose convolutions see 1 or 3 frames of a clip.

    Its random weights leave torch's own generator as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(cfg.seed, "weights"))
        net = option(cfg, "net", in_channels=in_channels, out_channels=out_channels)
        if frames == 3:
            over_time(net)
        initialise(net, cfg.net.init)
    if cfg.net.init_from is not None:
        load_weights(net, Path(os.path.expanduser(str(cfg.net.init_from))))
    return net


@contextlib.contextmanager
def tracker(cfg: DictConfig):
    """The loggers of one fit, closed whatever happens: an open W&B run would take the next fit's curves."""
    logger = instantiate(cfg.logger) if cfg.logger else None
    loggers = [logger] if logger else []
    for open_logger in loggers:
        open_logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    status = 1
    try:
        yield loggers
        status = 0
    finally:
        for open_logger in loggers:  # Lightning's own loggers close themselves
            if hasattr(open_logger, "finish"):
                open_logger.finish(status)


@contextlib.contextmanager
def quiet():
    """Silence, by name, what Lightning says to people who train on data sets."""
    chatter = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in (".*does not have many workers.*", ".*isinstance\\(treespec, LeafSpec\\).*",
                        ".*GPU available but not used.*", ".*`max_epochs` was not set.*",
                        "The `srun` command is available.*",
                        "Found .* in eval mode.*"):  # a custom operator is
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            chatter.setLevel(level)
