"""From the composed config to objects. The only module that reads a DictConfig; nothing after it sees one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from dip_lab.answers.answer import Answer
from dip_lab.callbacks.curves import Curves
from dip_lab.callbacks.interrupt import Interrupt
from dip_lab.callbacks.snapshots import Snapshots
from dip_lab.callbacks.stopping import Stopping
from dip_lab.checks import file_name, flag, integer, number
from dip_lab.compose import recorded
from dip_lab.data.images import Images
from dip_lab.descent.weight_noise import WeightNoise
from dip_lab.fit import Fit
from dip_lab.generator import Generator
from dip_lab.instantiate import instantiate
from dip_lab.latents.compatible import check_latent
from dip_lab.latents.image import ImageLatent
from dip_lab.loggers.tracker import Tracker
from dip_lab.memory import check_memory
from dip_lab.module import DeepImagePrior
from dip_lab.nets.detail import width_for
from dip_lab.nets.torch2017 import set_align_corners, set_norm_weights
from dip_lab.nets.weights import initialise
from dip_lab.precision import autocast_dtype
from dip_lab.problem import Problem, Task
from dip_lab.randomness import seed_of
from dip_lab.regularizers.regularizer import Together
from dip_lab.results.history import COLUMNS, History
from dip_lab.runs.identity import Cell
from dip_lab.splits.chunks import Chunks, Frames
from dip_lab.splits.split import Piece, Split
from dip_lab.tasks.masks import Alpha
from dip_lab.training.start import load_start
from dip_lab.video.generator import ClipGenerator
from dip_lab.video.mode import Mode
from dip_lab.video.volume import over_time


@dataclass(frozen=True)
class Plan:
    """What one cell does.

    Attributes:
        whole: the problem as a single piece.
        splits: how it is split, the outermost first.
        fit: builds and checks the fit of a piece; raises a ValueError if it cannot work.
        baseline: a method without a network, used instead of all fits; None: a network is fitted.
        tracker: the loggers, not open yet.
        fps: frames per second of a clip's films.
        answer: how the restored picture is written.
    """

    whole: Piece
    splits: Sequence[Split]
    fit: Callable[[Piece], Fit]
    baseline: Callable[[Problem], Tensor] | None
    tracker: Tracker
    fps: float
    answer: Answer


def build(cfg: DictConfig, cell: Cell, images: Images | None = None, callbacks: Sequence[pl.Callback] = ()) -> Plan:
    """Everything that a cell needs.

    Args:
        cfg: the composed config, without the node `hydra`.
        cell: its identity.
        images: used instead of those of `cfg.data`.
        callbacks: more Lightning callbacks, such as a notebook's live curve.

    Raises:
        ValueError: something in the config, the picture or the mask cannot work.
    """
    cfg = checked(cfg)
    images = images or load_images(cfg.data)
    problem = build_problem(cfg.task, images, cfg.seed)
    mode: Mode = instantiate(cfg.video)
    over_frames = Frames() if mode.chunk == 1 else Chunks(mode.chunk, mode.overlap)
    splits = [over_frames, instantiate(cfg.splits.tiles), instantiate(cfg.splits.seeds)]
    baseline = instantiate(cfg.baseline) if cfg.baseline else None
    loggers = [partial(instantiate, node) for node in (cfg.logger or {}).values()]
    settings = partial(recorded, cfg, partial(OmegaConf.to_container, resolve=True))
    tracker = Tracker(loggers, settings)
    fit = partial(build_fit, cfg, callbacks=callbacks)
    answer = build_answer(cfg.answer, images, problem)
    return Plan(Piece(problem, cell, mode), splits, fit, baseline, tracker, mode.fps, answer)


def checked(cfg: DictConfig) -> DictConfig:
    """The same config, in which 1e3 iterations are an integer.

    Raises:
        ValueError: a value that cannot work and that none of our classes checks.
    """
    counts = {key: integer(key, cfg[key], 1) for key in ("iterations", "log_every", "log_every_image")}
    counts["seed"] = integer("seed", cfg.seed)
    if cfg.descent.clip is not None:
        number("descent.clip", cfg.descent.clip, 0, above=True)
    if "lr" in cfg.optimizer:
        number("optimizer.lr", cfg.optimizer.lr, 0, above=True)
    if not isinstance(cfg.device, str):
        raise ValueError(f"device={cfg.device}: choose auto, cpu, cuda or mps")
    devices = cfg.trainer.devices
    if devices != 1 and not (OmegaConf.is_list(devices) and len(devices) == 1):
        raise ValueError(f"trainer.devices={devices}: one fit uses one device; more devices run more cells of a sweep")
    autocast_dtype(cfg.precision, "cpu")
    return OmegaConf.merge(cfg, counts)


def load_images(data: DictConfig) -> Images:
    """The images that the node `data` names."""
    source = instantiate(data)
    return replace(source.load(), clean=flag("data.clean", source.clean))


def build_problem(task: DictConfig, images: Images, seed: int) -> Problem:
    """The problem of a picture that is degraded as the node `task` says."""
    parts = {key: instantiate(task[key]) for key in ("operator", "noise", "observe", "misfit", "evaluation", "view")}
    observation = file_name("task.observation", task.observation)
    return Task(**parts, answer=str(task.answer), given=task.given, observation=observation).problem(images, seed)


def build_answer(answer: DictConfig, images: Images, problem: Problem) -> Answer:
    """How the answer is written, with what the picture's file has beside its pixels.

    Transparency that was the mask is filled by the fit: the answer is then opaque.
    """
    filled = any(isinstance(mask := getattr(part, "mask", None), Alpha) and not mask.path
                 for part in problem.operator.modules())
    bound = Answer(instantiate(answer), images.conventions, None if filled else images.alpha)
    bound.check(*problem.shown(torch.zeros(1, *problem.image_shape[1:])).shape[1:])
    return bound


def build_fit(cfg: DictConfig, piece: Piece, callbacks: Sequence[pl.Callback]) -> Fit:
    """One fit of one network; it continues an earlier, unfinished fit of the cell's folder."""
    problem, cell = piece.problem.part(), piece.cell  # a rule may change the problem: it gets its own
    problem.check_misfit()
    folder = cell.folder
    if cell.seed != cfg.seed:
        cfg = OmegaConf.merge(cfg, {"seed": cell.seed})
    shadow = {name: instantiate(node) for name, node in (cfg.shadow or {}).items()}
    stopping = Stopping(instantiate(cfg.stopping), shadow)
    stopping.hold_out(problem, cfg.seed)
    module = build_module(cfg, problem, piece.mode)
    on_gpu = cfg.device in ("auto", "cuda", "gpu") and torch.cuda.is_available()
    check_memory(module.generator, problem, torch.device("cuda" if on_gpu else "cpu"))
    stopping.setup_rules(problem, cfg.seed, module.generator)
    guard, checkpoint, preview, progress = (instantiate(cfg.callbacks[key])
                                            for key in ("guard", "checkpoint", "preview", "progress"))
    interrupt = Interrupt(checkpoint.hurry)
    guard.stopping = checkpoint.stopping = progress.stopping = stopping
    checkpoint.guard, checkpoint.experiment = guard, f"{cell.hash}-{cell.seed}-{problem.digest()}"
    start = checkpoint.find(folder / "checkpoints", module, cfg.iterations) if folder else 0
    if checkpoint.threads and cfg.threads == "auto":  # continued bit for bit
        torch.set_num_threads(checkpoint.threads)
    history = History(COLUMNS, folder / "history.csv" if folder else None)
    history.resume(start)
    preview.folder = folder
    progress.picture = preview.path
    progress.history, progress.iterations = history, cfg.iterations
    progress.what = f"{cell.options['task']} {problem.name} with {cell.options['net']}"
    curves = Curves(history, cfg.log_every, stopping, lambda: checkpoint.fitted_seconds)
    snapshots = [Snapshots(folder / "snapshots", cfg.log_every_image)] if folder else []
    # The order matters: the rule looks first, so that the guard's snapshot holds what it saw.
    watchers = [stopping, guard, curves, *snapshots, preview, checkpoint, interrupt, progress, *callbacks]
    trainer = instantiate({**OmegaConf.to_container(cfg.trainer, resolve=True), "_partial_": True},
                          gradient_clip_val=cfg.descent.clip)
    return Fit(cell, module, cfg.iterations, start, stopping, guard, checkpoint, interrupt, history, watchers, trainer)


def build_module(cfg: DictConfig, problem: Problem, mode: Mode | None = None) -> DeepImagePrior:
    """The method, ready to be fitted to a problem."""
    regularizer = Together({name: instantiate(node) for name, node in cfg.regularizer.items()})
    regularizer.setup(problem, cfg.seed)
    generator = build_generator(cfg, problem, mode)
    return DeepImagePrior(generator, problem, regularizer, instantiate(cfg.average), instantiate(cfg.optimizer),
                          instantiate(cfg.descent.schedule), WeightNoise(cfg.descent.weight_noise, cfg.seed),
                          instantiate(cfg.descent.stages))


def build_generator(cfg: DictConfig, problem: Problem, mode: Mode | None = None) -> Generator:
    """The network behind its latent; for a stack of images, one network behind a latent for each keyframe.

    Args:
        cfg: the composed config.
        problem: what the images have to explain.
        mode: how the images of a stack share one network; None: as `cfg.video` says.
    """
    mode = mode or instantiate(cfg.video)
    count, channels, height, width = problem.image_shape
    latents = [instantiate(cfg.latent)]
    # A latent that is made from the picture differs from image to image.
    step = 1 if isinstance(latents[0], ImageLatent) else mode.keyframes
    places = [min(place, count - 1) for place in range(0, count - 1 + step, step)] if count > 1 else [0]
    latents += [instantiate(cfg.latent) for _ in places[1:]]
    for place, latent in zip(places, latents, strict=True):
        latent.setup(problem.part(slice(place, place + 1)) if count > 1 else problem)
    if cfg.net.get("width") == "auto":
        cfg = OmegaConf.merge(cfg, {"net": {"width": width_for(problem.observed(), problem.operator.known)}})
    net = build_net(cfg, latents[0].depth, channels, mode.kernel if count > 1 else 1)
    check_latent(net, latents[0])
    rest = (height, width), cfg.precision, cfg.seed, cfg.generator.coarse_to_fine, cfg.generator.frozen_norms
    if count == 1:
        return Generator(net, latents[0], *rest)
    return ClipGenerator(net, latents, channels, count, step, mode, *rest)


def build_net(cfg: DictConfig, in_channels: int, out_channels: int, frames: int = 1) -> nn.Module:
    """The network of `cfg.net` alone, whose convolutions see 1 or 3 frames of a clip.

    Drawing its weights does not change the state of torch's own generator. Three values are not the network's own
    arguments: `net.lr`, which the YAML of the optimiser reads, and those of torch2017.py.
    """
    own = {key: value for key, value in cfg.net.items() if key not in ("lr", "norm_weight", "align_corners")}
    node = OmegaConf.create({"net": own}).net  # inside another, so that an error says net.width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(cfg.seed, "weights"))
        net = instantiate(node, in_channels=in_channels, out_channels=out_channels)
        if frames == 3:
            over_time(net)
        initialise(net, cfg.generator.init)
        set_norm_weights(net, cfg.net.get("norm_weight", "ones"))
    set_align_corners(net, cfg.net.get("align_corners", False))
    if (start := OmegaConf.to_container(cfg.generator, resolve=True)["init_from"]) is not None:
        net.learned_start = load_start(net, start, out_channels)
    return net
