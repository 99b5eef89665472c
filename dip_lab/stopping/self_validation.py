"""Early stopping by an autoencoder of the outputs (SV-ES)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer, number
from dip_lab.randomness import generator_of, seed_of
from dip_lab.stopping.rule import Minimum


class SelfValidation(Minimum):
    """Answers with the output that an autoencoder, trained on the outputs before it, reconstructs best.

    While the image forms, and again while noise is fitted, a new output is unlike the last ones. The autoencoder sees
    outputs shrunk to `size` x `size` px, is scored on each new one and then trained on `batch` of the last `memory`
    ones. The published one is a deep convolutional network, trained on all 256 after each iteration, which costs many
    times as much as a step of the fit; this one is small enough to watch any fit.
    Self-Validation, https://arxiv.org/abs/2110.12271

    Args:
        size: side of the shrunk outputs in px.
        code: numbers between encoder and decoder; the hidden layers have four times as many.
        memory: number of past outputs to train on.
        batch: how many of these at each check.
        lr: of the autoencoder's Adam.
        smoothing: weight of the past in the moving average of the score, in [0, 1).
        every: iterations between checks.
        patience: iterations without a strict decrease that confirm a minimum. At least 1.
        min_start: no candidate before this iteration.

    Raises:
        ValueError: an argument is out of its range.
    """

    statistic_name = "autoencoder_error"
    saved = (*Minimum.saved, "_memory")

    def __init__(self, size: int, code: int, memory: int, batch: int, lr: float, smoothing: float, every: int,
                 patience: int, min_start: int) -> None:
        super().__init__(patience, min_start)
        self.size = integer("stopping.size", size, 2)
        self.code = integer("stopping.code", code, 1)
        self.memory = integer("stopping.memory", memory, 1)
        self.batch = integer("stopping.batch", batch, 1)
        self.lr = number("stopping.lr", lr, 0, above=True)
        self.smoothing = number("stopping.smoothing", smoothing, 0, 1, below=True)
        self.every = integer("stopping.every", every, 1)
        self.looks = 0
        self._memory = None

    def setup(self, problem: Any, seed: int, generator: Any = None) -> None:
        super().setup(problem, seed, generator)
        values = problem.image_shape[1] * self.size**2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "self_validation"))
            self.net = nn.Sequential(nn.Linear(values, 4 * self.code), nn.ReLU(), nn.Linear(4 * self.code, self.code),
                                     nn.ReLU(), nn.Linear(self.code, 4 * self.code), nn.ReLU(),
                                     nn.Linear(4 * self.code, values))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=self.lr)

    def _allocate(self, output: Tensor, average: Tensor | None) -> None:
        super()._allocate(output, average)
        self.net.to(output.device)
        if self._memory is None:
            values = output.shape[1] * self.size**2
            self._memory = torch.zeros(self.memory, values, device=output.device)

    def _measure(self, iteration: int, output: Tensor, average: Tensor | None) -> bool | None:
        if iteration % self.every and self.observations:
            return False
        small = F.adaptive_avg_pool2d(output, self.size).flatten(1)
        self._smooth_in(F.mse_loss(self.net(small), small).double(), self.smoothing, first=self.looks == 0)
        self._memory[self.looks % self.memory] = small[0]
        self.looks += 1
        present = min(self.looks, self.memory)
        chosen = torch.randint(present, (self.batch,), generator=generator_of(self.seed, "self_validation", iteration))
        batch = self._memory[chosen.to(output.device, non_blocking=True)]
        with torch.enable_grad():
            self.optimizer.zero_grad()
            F.mse_loss(self.net(batch), batch).backward()
        self.optimizer.step()
        return True

    def state_dict(self) -> dict[str, Any]:
        more = {"looks": self.looks, "net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {**super().state_dict(), **more}

    def state_after(self, output: Tensor, average: Tensor | None) -> dict[str, Any]:
        return {**super().state_after(output, average), "optimizer": self.optimizer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.looks = state["looks"]
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
