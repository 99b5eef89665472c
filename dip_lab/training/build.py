"""From the composed config of a training to objects."""

import copy
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from dip_lab.build import build_net
from dip_lab.callbacks.interrupt import Interrupt
from dip_lab.checks import flag, integer, number, one_of
from dip_lab.compose import recorded
from dip_lab.instantiate import instantiate
from dip_lab.loggers.tracker import Tracker
from dip_lab.precision import autocast_dtype
from dip_lab.problem import Task
from dip_lab.runs.files import from_here
from dip_lab.targets import located
from dip_lab.training import identity
from dip_lab.training.batches import Clean, Degradation, HeldOut, Patches, Pictures, Problems
from dip_lab.training.checkpoint import BEST, LAST, NOT_ITS_OWN, Card, ProvedIO, read
from dip_lab.training.laws import Drawn, noise_of
from dip_lab.training.module import Training
from dip_lab.training.report import Report

log = logging.getLogger(__name__)
UNITS = {"s": 1, "m": 60, "h": 3600}
HELD_OUT_SIDE = 256  # px of a held-out picture that are looked at
SETTINGS = ("factor",)  # of an operator, which a restorer is trained for


@dataclass
class Plan:
    """A training that is ready to begin.

    Attributes:
        trainer: Lightning's, with all callbacks.
        module: what learns.
        data: what it learns from, and what it is judged by.
        interrupt: knows the signal that ended it.
        tracker: the loggers, open.
    """

    trainer: pl.Trainer
    module: Training
    data: "Data"
    interrupt: Interrupt
    tracker: Tracker


class Data(pl.LightningDataModule):
    """Batches from the step that is next: item t of the patches at step t, whenever the training was interrupted."""

    def __init__(self, patches: Patches, held_out: HeldOut, iterations: int, workers: int):
        super().__init__()
        self.patches, self.held_out, self.iterations, self.workers = patches, held_out, iterations, workers

    def train_dataloader(self) -> DataLoader:
        """The batches up to the end of the epoch; Lightning asks anew for each epoch."""
        step = self.trainer.lightning_module.step
        end = min(self.iterations, (step // self.patches.epoch + 1) * self.patches.epoch)
        return DataLoader(self.patches, batch_size=None, sampler=range(step, end), num_workers=self.workers)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.held_out, batch_size=None)


def build(cfg: DictConfig, training: identity.Training, folder: Path) -> Plan:
    """Everything that a training needs; an earlier one of this folder is continued.

    Raises:
        ValueError: something in the config or in the pictures cannot work.
    """
    cfg = checked(cfg)
    source = identity.source_of(OmegaConf.to_container(cfg.data, resolve=True), training.options["data"])
    names, held = source.split()
    pictures = Pictures(source, names, cfg.channels, cfg.patch, cfg.seed)
    objective = instantiate(cfg.objective)
    objective.check(located(cfg.net._target_), located(cfg.task.operator._target_))
    degradation = Clean()
    if objective.degraded:
        kind = Problems if getattr(objective, "fits", False) else Degradation
        degradation = kind(degradation_of(cfg.task), cfg.restorer.noise_map)
    held_out = HeldOut(pictures, held, degradation, HELD_OUT_SIDE, cfg.seed)
    patches = Patches(pictures, degradation, cfg.patch, cfg.batch, cfg.epoch, cfg.seed)
    inputs, targets = patches[0]
    channels = targets.shape[1]
    # what a generator sees is a latent, of this depth
    maps = (objective.depth if hasattr(objective, "depth") else inputs.shape[1]) - channels
    net = build_net(cfg, channels + maps, channels)
    residual = hasattr(net, "to_image") if cfg.restorer.residual == "auto" else cfg.restorer.residual
    card = card_of(cfg, training, degradation, channels, maps, residual, len(names))
    model = objective.model(net, card, cfg.precision)
    module = Training(model, objective, instantiate(cfg.optimizer), instantiate(cfg.descent.schedule), cfg.iterations,
                      seconds_of(cfg.budget), card)
    what = f"{training.what} with {card.net} on {card.data.rpartition('/')[2]}"
    interrupt = Interrupt()
    checkpoint = sound_checkpoint(folder)
    last = ModelCheckpoint(folder / LAST.parent, LAST.stem, save_on_train_epoch_end=True, enable_version_counter=False)
    best = ModelCheckpoint(folder / BEST.parent, BEST.stem, monitor=objective.monitor, mode=objective.better,
                           save_on_train_epoch_end=True, enable_version_counter=False)
    tracker = Tracker([partial(instantiate, node) for node in (cfg.logger or {}).values()],
                      partial(recorded, cfg, partial(OmegaConf.to_container, resolve=True)))
    if checkpoint:
        module.resume(checkpoint)
        best.load_state_dict(checkpoint["callbacks"][best.state_key])
    trainer = instantiate({**OmegaConf.to_container(cfg.trainer, resolve=True), "_partial_": True})(
        max_steps=cfg.iterations - module.start, max_epochs=-1, gradient_clip_val=cfg.descent.clip,
        logger=list(tracker.open()), callbacks=[Report(folder, held_out, what), best, last, interrupt],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1, log_every_n_steps=1)
    trainer.strategy.checkpoint_io = ProvedIO()
    data = Data(patches, held_out, cfg.iterations, cfg.workers)
    return Plan(trainer, module, data, interrupt, tracker)


def sound_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The checkpoint that a training goes on from: the last one, or the best where that is damaged; None: none yet.

    Raises:
        ValueError: both are damaged.
    """
    there = [path for path in (folder / LAST, folder / BEST) if path.is_file()]
    for path in there:
        try:
            content = read(path)
        except ValueError as error:
            log.warning("%s", error)
        else:
            log.info("goes on from %s", from_here(path))
            return content
    if there:
        raise ValueError(f"{folder}: no checkpoint there can be read: start over with rerun=true")
    return None


def card_of(cfg: DictConfig, training: identity.Training, degradation: Degradation | Clean, channels: int, maps: int,
            residual: bool, pictures: int) -> Card:
    """What is known before the training; of a density, nothing of a degradation."""
    net = {key: value for key, value in OmegaConf.to_container(cfg.net, resolve=True).items()
           if key not in ("_target_", *NOT_ITS_OWN)} | _corners(cfg.net)
    common = {"net": training.options["net"], "options": net, "channels": channels, "maps": maps,
              "task": training.what, "data": training.options["data"], "pictures": pictures,
              "seed": cfg.seed, "objective": training.options["objective"]}
    if isinstance(degradation, Clean):
        return Card(**common, residual=False, noise_map=False, settings={}, noise=None, sigma=None)
    return Card(**common, residual=residual, noise_map=cfg.restorer.noise_map, sigma=sigmas(degradation.task().noise),
                settings={key: cfg.task[key] for key in SETTINGS if key in cfg.task},
                noise=cfg.task.noise._target_.rpartition(".")[2], clipped=bool(cfg.task.noise.get("clip", False)))


def checked(cfg: DictConfig) -> DictConfig:
    """The same config, with whole numbers as such.

    Raises:
        ValueError: a value that cannot work and that none of our classes checks.
    """
    least = {"iterations": 1, "patch": 8, "batch": 2, "epoch": 1, "workers": 0}
    counts = {key: integer(key, cfg[key], low) for key, low in least.items()} | {"seed": integer("seed", cfg.seed)}
    if cfg.channels is not None:
        one_of("channels", cfg.channels, (1, 3))
    flag("restorer.noise_map", cfg.restorer.noise_map)
    if cfg.restorer.residual != "auto":
        flag("restorer.residual", cfg.restorer.residual)
    if cfg.descent.clip is not None:
        number("descent.clip", cfg.descent.clip, 0, above=True)
    number("optimizer.lr", cfg.optimizer.lr, 0, above=True)
    if cfg.task.given or cfg.task.observation is not None:
        raise ValueError("task.given and task.observation are for pictures that are degraded already: a training "
                         "degrades clean ones")
    autocast_dtype(cfg.precision, "cpu")
    return OmegaConf.merge(cfg, counts)


def seconds_of(budget: Any) -> float | None:
    """The seconds of 90s, 30m or 2h; a number alone counts minutes.

    >>> seconds_of("30m"), seconds_of(0.5), seconds_of(None)
    (1800.0, 30.0, None)

    Raises:
        ValueError: it is none of these.
    """
    if budget is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(budget).strip())
    if isinstance(budget, bool) or not found or float(found[1]) == 0:
        raise ValueError(f"budget={budget}: give a time such as 90s, 30m or 2h")
    return float(found[1]) * UNITS[found[2] or "m"]


def degradation_of(node: DictConfig) -> Callable[[], Task]:
    """Gives what a node `task` does to patches, each time with parts of its own.

    Raises:
        ValueError: something in it cannot work.
    """
    parts = {key: instantiate(node[key]) for key in ("operator", "observe", "misfit", "evaluation", "view")}
    noise = noise_of(OmegaConf.to_container(node.noise, resolve=True))
    task = Task(**parts, noise=noise, answer=str(node.answer), given=False, observation=None)
    return partial(copy.deepcopy, task)


def sigmas(noise: Any) -> tuple[float, float] | None:
    """The lowest and the highest sigma of a law, in 8-bit units; None: it has none."""
    if isinstance(noise, Drawn):
        return noise.ranges.get("sigma")
    std = getattr(noise, "std", None)
    return None if std is None else (round(255 * std, 4), round(255 * std, 4))


def _corners(net: DictConfig) -> dict[str, Any]:
    return {"align_corners": net.align_corners} if "align_corners" in net else {}


def use_machine(cfg: DictConfig, number: int | None) -> None:
    """Threads, a GPU and the allocator, as for a fit."""
    from dip_lab import machine

    machine.free_memory()
    machine.tune_allocator()
    machine.use_threads(cfg.threads)
    machine.use_gpu(cfg.gpu, number)
    torch.manual_seed(cfg.seed)  # of layers that draw as they go, such as dropout
