"""Drives the stopping rules: shows them every output, ends the fit when `rule` says so, and gives the answer."""

from collections.abc import Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor

from dip_lab.generator import Generator
from dip_lab.problem import Problem
from dip_lab.stopping.rule import StoppingRule

POLL = 10  # iterations between two readings of `rule.stop`, each of which makes the host wait for the device


class Stopping(pl.Callback):
    """The `rule` that may end the fit, and the `shadow` rules by name, which see the same outputs but only watch.

    Attributes:
        reason: why the fit ended; None while it runs, or when the iterations ran out.

    Raises:
        ValueError: a shadow rule would change the fit.
    """

    def __init__(self, rule: StoppingRule, shadow: Mapping[str, StoppingRule]):
        for name, other in shadow.items():
            if other.changes_fit:
                raise ValueError(f"shadow: {name} changes the fit and cannot watch: use stopping={name}")
        self.rule, self.shadow = rule, shadow
        self.reason: str | None = None
        self.kept_weights: list[Tensor] | None = None

    def hold_out(self, problem: Problem, seed: int) -> None:
        """Let the rule take values out of the misfit, before anything is made of the observation.

        Raises:
            ValueError: nothing can be held out.
        """
        self.rule = self.rule.for_problem(problem)
        self.rule.hold_out(problem, seed)

    def setup_rules(self, problem: Problem, seed: int, generator: Generator) -> None:
        """Tell all rules what is restored. Lightning has a hook called `setup`, hence the longer name.

        Raises:
            ValueError: a rule does not work with this problem or generator.
        """
        for rule in (self.rule, *self.shadow.values()):
            rule.setup(problem, seed, generator)

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        for rule in (self.rule, *self.shadow.values()):
            rule.observe(iteration, module.output, module.average.image)
        if module.average.image is None:
            self._keep_weights(module)
        if iteration % POLL == 0 and self.rule.stop:
            self.reason = self.rule.reason
            trainer.should_stop = True

    @torch.no_grad()
    def _keep_weights(self, module) -> None:
        """Without an average the answer is `f(z)` with the chosen iteration's weights and no jitter."""
        live = list(module.generator.state_dict().values())
        if self.kept_weights is None:
            self.kept_weights = [tensor.clone() for tensor in live]
        for kept, tensor in zip(self.kept_weights, live, strict=True):
            torch.where(self.rule.better, tensor, kept, out=kept)

    @torch.no_grad()
    def answer(self, module) -> tuple[Tensor, int | None]:
        """The restoration `(1, C, H, W)` and the iteration that it comes from (None if the rule has chosen none)."""
        chosen = self.rule.chosen_iteration if self.rule.chosen_iteration > 0 else None
        if module.average.image is not None:
            return (module.average.image if chosen is None else self.rule.kept_average), chosen
        if chosen and self.kept_weights is not None:
            for tensor, kept in zip(module.generator.state_dict().values(), self.kept_weights, strict=True):
                tensor.copy_(kept)
        return module.generator(None), chosen

    def state_dict(self) -> dict:
        return {
            "rule": self.rule.state_dict(),
            "shadow": {name: rule.state_dict() for name, rule in self.shadow.items()},
            "kept_weights": self.kept_weights,
            "reason": self.reason,
        }

    def state_after(self, output: Tensor, average: Tensor | None, generator: Generator) -> dict:
        """A state of the shape that it has after an output and an average of these shapes."""
        rules = {name: rule.state_after(output, average) for name, rule in self.shadow.items()}
        weights = list(generator.state_dict().values()) if average is None else None
        return {"rule": self.rule.state_after(output, average), "shadow": rules, "kept_weights": weights,
                "reason": str | None}

    def load_state_dict(self, state: dict) -> None:
        self.rule.load_state_dict(state["rule"])
        for name, rule in self.shadow.items():
            rule.load_state_dict(state["shadow"][name])
        self.kept_weights, self.reason = state["kept_weights"], state["reason"]
