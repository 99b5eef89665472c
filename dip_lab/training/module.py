"""The Lightning module of a network that learns from pictures."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.optim import Optimizer

from dip_lab.problem import Problem
from dip_lab.training.checkpoint import KEY, Card


class Training(pl.LightningModule):
    """Minimise an objective over batches of patches.

    A batch is (inputs, targets), see `dip_lab.training.restorer.inputs_of`; a held-out picture is (inputs, problem).
    For an objective that degrades nothing, all of them are the clean pictures.

    Args:
        restorer: learns; made by the objective.
        objective: one of `dip_lab.objectives`.
        optimizer: makes the optimiser of the weights.
        schedule: step -> factor of the learning rate, which ends at `iterations`.
        iterations: at most this many steps.
        budget: seconds; the schedule goes as fast as is needed to end in time. None: no limit.
        card: what is known before the training.
    """

    def __init__(self, restorer: nn.Module, objective: Any, optimizer: Callable[..., Optimizer],
                 schedule: Callable[[int], float], iterations: int, budget: float | None, card: Card):
        super().__init__()
        self.restorer, self.objective, self.card = restorer, objective, card
        self.critic = getattr(objective, "critic", None)  # a discriminator moves, and is saved, with the network
        self.optimizer, self.schedule = optimizer, schedule
        self.iterations, self.budget = iterations, budget
        self._sum: Tensor | float = 0.0  # of the losses of this epoch
        self._count = 0
        self.scores: dict[str, float] = {}
        self.start = 0  # steps of earlier launches
        self._before, self._started = 0.0, time.monotonic()  # and their seconds
        self._moments: dict[str, Any] | None = None  # the optimiser's state when they ended
        self._rows: list[dict[str, float]] = []

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Go on where an earlier launch wrote this checkpoint. Lightning's own way would begin with an empty epoch."""
        self.load_state_dict(checkpoint["state_dict"])
        self._moments = checkpoint["optimizer_states"][0]
        self.start, self._before = checkpoint["step"], checkpoint["seconds"]

    @property
    def step(self) -> int:
        """Steps that are done, with those of earlier launches."""
        return self.start + (self.global_step if self._trainer else 0)

    @property
    def seconds(self) -> float:
        """Since the start of the training, without the time between its launches."""
        return self._before + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """The share of the training that is done, by steps or by the clock, whichever is further."""
        steps = self.step / self.iterations
        return min(1.0, steps if self.budget is None else max(steps, self.seconds / self.budget))

    def on_train_start(self) -> None:
        self._started = time.monotonic()

    def on_train_epoch_start(self) -> None:
        self._sum, self._count = 0.0, 0

    @property
    def loss(self) -> float:
        """The mean of this epoch's losses."""
        return float(self._sum) / max(1, self._count)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self.objective.loss(self.restorer, batch)
        self._sum, self._count = self._sum + loss.detach(), self._count + 1
        return loss

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer, optimizer_closure=None) -> None:
        step = max(self.step + 1, round(self.progress * self.iterations))
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule(step)
        optimizer.step(closure=optimizer_closure)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.budget is not None and self.seconds >= self.budget:
            self.trainer.should_stop = True

    def on_validation_epoch_start(self) -> None:
        self._rows = []

    def validation_step(self, batch: tuple[Tensor, Problem], batch_idx: int) -> None:
        self._rows.append(self.objective.scores(self.restorer, batch))

    def on_validation_epoch_end(self) -> None:
        """Raises ValueError where the training has diverged; the checkpoints are those of the epochs before."""
        if not math.isfinite(self.loss):
            raise ValueError(f"the loss is not finite after step {self.step}: give a smaller optimizer.lr, or "
                             "descent.clip=1")
        if hasattr(self.objective, "pooled"):  # of all held-out pictures together
            self.scores = self.objective.pooled(self.restorer, self._rows)
        else:
            self.scores = {key: sum(row[key] for row in self._rows) / len(self._rows) for key in self.objective.columns}
        self.log_dict({**self.scores, "loss": self.loss})

    def configure_optimizers(self) -> Optimizer:
        optimizer = self.optimizer(self.restorer.parameters())
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        if self._moments:
            optimizer.load_state_dict(self._moments)
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        card = replace(self.card, iterations=self.step, seconds=round(self.seconds, 1),
                       score=self.scores.get(self.objective.monitor))
        checkpoint[KEY] = asdict(card)
        checkpoint["step"], checkpoint["seconds"] = self.step, self.seconds
