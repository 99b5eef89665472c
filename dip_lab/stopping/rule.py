"""The base class of the stopping rules: it keeps the image that would be the answer, without host synchronisation."""

import copy
import math
from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer


class StoppingRule:
    """Watches the outputs of a fit and says WHICH iteration's image is the answer, and when to stop.

    A rule is one method, `_better`: "is this output a better answer than the one kept so far?", as a 0-d bool
    tensor on the device. The base class copies output and average at the chosen iteration and counts the
    iterations since. `observe` never synchronises with the host; `stop`, `reason`, `statistic`, `stale`,
    `chosen_iteration` and `why_may_stop` do, so read them only every few iterations.

    A rule with a `patience` freezes its choice at the first iteration where it has been stale that long: the
    answer does not depend on how often `stop` is read, and later (overfitted) minima cannot replace it.

    Attributes:
        uses_target: the rule looks at the target, so its result is a bound and not a restoration.
        uses_observation: the rule looks at the observation that was fitted, and not only at the outputs.
        changes_fit: the rule takes part in the fit, so it cannot watch a fit that another rule stops.
        patience: iterations without a better output that end the fit; None never ends it.
        better: what the last `observe` decided (0-d bool tensor); None before the first one.
        kept_output: copy of the output at the chosen iteration, (1, C, H, W); None before `observe`.
        kept_average: same for the running average; None where there is none.
        statistic_name: column of history.csv; None where the rule computes nothing.
        sentence: the `reason` once the choice is confirmed.
        saved: names of the tensors that make up the state; a rule adds its own.
    """

    uses_target = False
    uses_observation = False
    changes_fit = False
    patience: int | None = None
    statistic_name: str | None = None
    sentence = ""
    saved: tuple[str, ...] = ("_chosen", "_stale", "_confirmed", "_stopped", "kept_output", "kept_average")

    def __init__(self) -> None:
        self.observations = 0
        self.better: Tensor | None = None
        self._chosen: Tensor | None = None
        self._stale: Tensor | None = None
        self._confirmed: Tensor | None = None
        self._stopped: Tensor | None = None
        self.kept_output: Tensor | None = None
        self.kept_average: Tensor | None = None
        self._allocated_for: tuple | None = None

    def hold_out(self, problem: Any, seed: int) -> None:
        """Take values out of the misfit, before a latent or anything else is made of the observation. Default: none.

        Raises:
            ValueError: nothing can be held out.
        """

    def setup(self, problem: Any, seed: int, generator: Any = None) -> None:
        """Tell the rule, before the fit, which `Problem` is restored and, if there is one, by which generator.

        Raises:
            ValueError: the rule does not work with this problem or generator.
        """
        self.problem, self.seed = problem, seed

    def for_problem(self, problem: Any) -> "StoppingRule":
        """The rule that watches a fit of this problem: itself."""
        return self

    @torch.no_grad()
    def observe(self, iteration: int, output: Tensor, average: Tensor | None = None) -> None:
        """Take the output (1, C, H, W), detached float32, and the average; iteration numbers may have gaps."""
        if self._allocated_for != (output.device, average is None):
            self._allocate(output, average)
            self._allocated_for = (output.device, average is None)
        self._now.fill_(iteration)  # torch.tensor(iteration) would be a blocking copy on CUDA
        better = self._better(iteration, output, average)
        if self.patience is not None:
            better = better & ~self._confirmed
        self.better = better
        torch.where(better, self._now, self._chosen, out=self._chosen)
        torch.sub(self._now, self._chosen, out=self._stale)
        torch.where(better, output, self.kept_output, out=self.kept_output)
        if average is not None:
            torch.where(better, average, self.kept_average, out=self.kept_average)
        if self.patience is not None:
            torch.where(self._confirmed, self._stopped, self._now, out=self._stopped)
            self._confirmed.logical_or_(self._stale >= self.patience)
        self.observations += 1

    def _better(self, iteration: int, output: Tensor, average: Tensor | None) -> Tensor:
        """Is this a better answer than the kept one? 0-d bool on the device: no `.item()`, no `bool()`.

        True as long as the rule cannot tell: an interrupted fit then answers with its last image.
        """
        raise NotImplementedError

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        """Make the buffers that are missing, and move a loaded state to the output's device."""
        device = output.device
        for name in self.saved:
            if (tensor := getattr(self, name)) is not None:
                setattr(self, name, tensor.to(device))
        self._now = torch.zeros((), dtype=torch.int64, device=device)
        self._yes = torch.ones((), dtype=torch.bool, device=device)
        if self.kept_output is None:
            self._chosen = torch.full_like(self._now, -1)
            self._stale = torch.zeros_like(self._now)
            self._confirmed = torch.zeros_like(self._yes)
            self._stopped = torch.zeros_like(self._now)
            self.kept_output = torch.zeros_like(output)
        if average is not None and self.kept_average is None:
            self.kept_average = torch.zeros_like(average)

    @property
    def kept(self) -> Tensor | None:
        """The image that the rule would answer with: the average if there is one."""
        return self.kept_output if self.kept_average is None else self.kept_average

    # Host side: each of these waits for the device.

    @property
    def stop(self) -> bool:
        """Whether the choice is confirmed, so that more iterations change nothing."""
        return self._confirmed is not None and bool(self._confirmed)

    @property
    def stopped_iteration(self) -> int | None:
        """The iteration at which the choice was confirmed; None until then."""
        return int(self._stopped) if self.stop else None

    @property
    def reason(self) -> str:
        """Why the fit ended, as far as this rule knows."""
        return self.sentence if self.stop else "reached the iteration limit"

    @property
    def chosen_iteration(self) -> int:
        """The iteration whose image is the answer; -1 before the first `observe`."""
        return -1 if self._chosen is None else int(self._chosen)

    @property
    def stale(self) -> int:
        """Iterations since the chosen one."""
        return 0 if self._stale is None else int(self._stale)

    @property
    def statistic(self) -> float | None:
        """Current value of what the rule watches; None while there is none, or where it is not finite."""
        return None

    @property
    def psnr_held_out(self) -> float | None:
        """How well the answer predicts observed values that were not fitted, in dB; None if the rule holds none out.

        It needs no target and compares fits to the same observation with the same seed. A search without a target
        maximises it.
        """
        return None

    @property
    def why_may_stop(self) -> str:
        """A few words for the progress bar."""
        return ""

    def state_dict(self) -> dict[str, Tensor | int]:
        """The live tensors (copy them to keep them) and numbers; loading them continues bit for bit."""
        tensors = {name: getattr(self, name) for name in self.saved}
        present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        return {"observations": self.observations, **present}

    def state_after(self, output: Tensor, average: Tensor | None) -> dict[str, Any]:
        """A state of the shape that it has after an output and an average of these shapes; the rule does not change."""
        twin = copy.copy(self)
        twin._allocate(output, average)
        return twin.state_dict()

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Load a copy of a state, in place where the buffers exist; also an earlier one, from a snapshot."""
        self.observations = state["observations"]
        for name in self.saved:
            mine, theirs = getattr(self, name), state.get(name)
            if mine is not None and theirs is not None and mine.shape == theirs.shape:
                mine.copy_(theirs)
            else:
                setattr(self, name, None if theirs is None else theirs.clone())
                self._allocated_for = None


class Minimum(StoppingRule):
    """A rule that answers with the first patience-confirmed minimum of a statistic; subclasses write `_measure`.

    Args:
        patience: iterations without a decrease that confirm a minimum. At least 1.
        min_start: no candidate before this iteration.

    Attributes:
        least: smallest relative decrease that counts, in [0, 1).

    Raises:
        ValueError: `patience` or `min_start` is not a whole number or too small.
    """

    saved = (*StoppingRule.saved, "_value", "_best")
    least = 0.0

    def __init__(self, patience: int, min_start: int) -> None:
        super().__init__()
        self.patience = integer("stopping.patience", patience, 1)
        self.min_start = integer("stopping.min_start", min_start, 0)
        words = self.statistic_name.replace("_", " ")
        self.sentence = f"{words} has not fallen for {patience} iterations"
        self._value = self._best = None

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        super()._allocate(output, average)
        if self._value is None:
            self._value = torch.full((), math.nan, dtype=torch.float64, device=output.device)
            self._best = torch.full_like(self._value, math.inf)

    def _better(self, iteration: int, output: Tensor, average: Tensor | None) -> Tensor:
        measured = self._measure(iteration, output, average)
        if measured is None or iteration < self.min_start:
            return self._yes
        if not measured:
            return ~self._yes
        better = self._value < self._best * (1 - self.least)
        torch.where(better, self._value, self._best, out=self._best)
        return better

    def _measure(self, iteration: int, output: Tensor, average: Tensor | None) -> bool | None:
        """Write the statistic into `_value` (0-d float64), return True; False: not now; None: not known yet."""
        raise NotImplementedError

    def _smooth_in(self, value: Tensor, smoothing: float, first: bool) -> None:
        """Make `_value` the moving average of the values: smoothing * average + (1 - smoothing) * value."""
        if first:
            self._value.copy_(value)
        else:
            self._value.lerp_(value, 1 - smoothing)

    @property
    def statistic(self) -> float | None:
        return finite_or_none(self._value)

    @property
    def why_may_stop(self) -> str:
        name = type(self).__module__.rsplit(".", 1)[-1]
        if finite_or_none(self._best) is None:
            return f"{name} from {self.min_start}"
        return f"{name} {float(self._value):.1e}, {self.stale}/{self.patience}"


def finite_or_none(value: Tensor | None) -> float | None:
    """Host copy of a 0-d tensor; None for NaN and infinities, which JSON cannot hold."""
    number = float("nan") if value is None else float(value)
    return number if abs(number) < float("inf") else None
