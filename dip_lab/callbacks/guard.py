"""Rolls the fit back when it breaks: a non-finite value, or the published 5 dB drop."""

import logging
import math
from typing import Any

import pytorch_lightning as pl
import torch

from dip_lab.callbacks.state import live_state, parts_of, refuse_other, restore_state
from dip_lab.checks import integer, number
from dip_lab.trees import copy_into

log = logging.getLogger(__name__)
NOT_FINITE = "a value was not finite"


class Guard(pl.Callback):
    """Checks the fit every `every` iterations and keeps a snapshot of it while it is sound.

    A fit is broken when a loss or output since the last check was not finite, when a weight is not finite, or when the
    loss is `drop_db` decibels above that of the last snapshot (the published backtracking). Then weights, batch-norm
    buffers, optimiser state, average and stopping rule go back to the snapshot, and the fit continues with the next
    iteration's jitter and half the learning rate, which is halved again each time the fit goes back to the same
    snapshot; the iteration count goes on. After `max_events` such events the fit ends. The guard also checks when the
    fit ends, so the answer is sound.

    Args:
        every: iterations between two checks; each makes the host wait for the device and copies the state.
        drop_db: the drop that counts as a collapse, in dB of the loss; inf: only non-finite values count.
        max_events: events after which the fit ends with the best image.
    """

    def __init__(self, every: int, drop_db: float, max_events: int):
        self.every = integer("callbacks.guard.every", every, 1)
        self.drop_db = number("callbacks.guard.drop_db", drop_db, 0, math.inf, above=True)
        self.max_events = integer("callbacks.guard.max_events", max_events, 1)
        self.stopping: Any = None  # set by the experiment: the rule rolls back with the fit
        self.events: list[dict[str, Any]] = []
        self.reason: str | None = None
        self.snapshot: dict[str, Any] | None = None
        self.snapshot_iteration = 0
        self.accepted_loss = math.inf
        self.broken_at_end = False  # the last state was rolled back, so it is not one to continue from
        self._broken: torch.Tensor | None = None
        self._was_broken = False
        self._looked, self._iteration = True, 0

    def on_train_start(self, trainer, module) -> None:
        self._broken = torch.full((), self._was_broken, dtype=torch.bool, device=module.device)
        if self.snapshot is None:
            self._accept(trainer, module, self.snapshot_iteration, self.accepted_loss)

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        # One value that is finite exactly if the loss and the whole output are.
        self._broken |= ~torch.isfinite(module.loss + module.output.mean())
        # A rule that stops here may have been misled by what is broken.
        self._iteration = iteration
        self._looked = iteration % self.every == 0 or trainer.should_stop
        if not self._looked:
            return
        fault = self._fault(module)
        if fault:
            trainer.should_stop = False
            self._roll_back(trainer, module, iteration, fault)
        elif iteration % self.every == 0:
            self._accept(trainer, module, iteration, float(module.loss))

    def on_train_end(self, trainer, module) -> None:
        fault = None if self._looked else self._fault(module)
        if fault:
            self.broken_at_end = True
            self._roll_back(trainer, module, self._iteration, fault)

    @property
    def failure(self) -> str | None:
        """Why the fit has no sound answer; None where it has one.

        Non-finite values came back until the guard gave up, or they were there before it had found the fit sound once.
        """
        if self.reason is not None and self.events[-1]["what"] == NOT_FINITE:
            return self.reason
        if self.broken_at_end and self.snapshot_iteration == 0:
            return f"guard: {NOT_FINITE} by iteration {self._iteration}, and there is no sound one to go back to"
        return None

    def _fault(self, module) -> str | None:
        """What is wrong with the fit; None while it is sound."""
        weights = [tensor for tensor in module.generator.state_dict().values() if tensor.is_floating_point()]
        largest = torch.nn.utils.get_total_norm(weights, norm_type=math.inf)
        if bool(self._broken | ~torch.isfinite(largest)):
            return NOT_FINITE
        loss = float(module.loss)
        if self.accepted_loss > 0 and loss > self.accepted_loss * 10 ** (self.drop_db / 10):
            return f"the fit fell by {10 * math.log10(loss / self.accepted_loss):.1f} dB"
        return None

    def _accept(self, trainer, module, iteration: int, loss: float) -> None:
        state = live_state(parts_of(trainer, module, self.stopping))
        self.snapshot = copy_into(self.snapshot, state)
        self.snapshot_iteration, self.accepted_loss = iteration, loss

    def _roll_back(self, trainer, module, iteration: int, what: str) -> None:
        restore_state(parts_of(trainer, module, self.stopping), self.snapshot)
        self._broken.zero_()
        self.events.append({"iteration": iteration, "back_to": self.snapshot_iteration, "what": what})
        # Without jitter the same steps from the same state would end in the same collapse: take smaller ones.
        again = sum(event["back_to"] == self.snapshot_iteration for event in self.events)
        for group in trainer.optimizers[0].param_groups:
            group["initial_lr"] *= 0.5**again
        log.warning("guard: iteration %d: %s; back to iteration %d (event %d of %d)", iteration, what,
                    self.snapshot_iteration, len(self.events), self.max_events)
        if len(self.events) >= self.max_events:
            self.reason = f"guard: {what} at iteration {iteration}, {len(self.events)} events"
            trainer.should_stop = True

    def state_dict(self, iteration: int) -> dict[str, Any]:
        """What a resumed fit needs; the snapshot itself only when it is not the state being saved."""
        return {
            "events": self.events,
            "reason": self.reason,
            "broken": self._broken is not None and bool(self._broken),
            "accepted_loss": self.accepted_loss,
            "snapshot_iteration": self.snapshot_iteration,
            "snapshot": None if self.snapshot_iteration == iteration else self.snapshot,
        }

    @staticmethod
    def refuse_other(found: Any, iteration: int, expected: tuple[Any, Any]) -> None:
        """Return if it is a `state_dict(iteration)`; `expected` are the states of a fit before and after a step.

        Raises:
            ValueError: it is not.
        """
        if not isinstance(found, dict) or not isinstance(found.get("events"), list):
            raise ValueError("guard has other parts")
        before = found.get("snapshot_iteration")
        event = {"iteration": 0, "back_to": 0, "what": ""}
        snapshot = None if before == iteration else expected[before != 0]
        refuse_other(found, {"events": [event] * len(found["events"]), "reason": str | None, "broken": False,
                             "accepted_loss": 0.0, "snapshot_iteration": 0, "snapshot": snapshot}, "guard")
        if not 0 <= before <= iteration:
            raise ValueError(f"guard.snapshot_iteration is {before}")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.events, self.reason, self._was_broken = state["events"], state["reason"], state["broken"]
        self.accepted_loss = state["accepted_loss"]
        self.snapshot_iteration = state["snapshot_iteration"]
        self.snapshot = state["snapshot"]
