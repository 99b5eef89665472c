"""The other side of adversarial training: a discriminator that learns beside the network that it judges."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from dip_lab.checks import number
from dip_lab.nets.discriminators import PatchGAN
from dip_lab.randomness import seed_of


class Critic(nn.Module):
    """A discriminator and its own optimiser, which takes one step of the hinge loss for each step of the training.

    Its state dict is whole: weights, the vectors of the spectral norms, the optimiser's moments, how many steps.

    Args:
        planes: of what it judges.
        settings: `width` and `layers` of the discriminator.
        optimizer: makes its optimiser.
        seed: of its weights, which are a function of (seed, "discriminator").

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, planes: int, settings: dict[str, Any], optimizer: Callable[..., Optimizer], seed: int):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "discriminator"))
            self.net = PatchGAN(planes, **settings)
        for group in optimizer(self.net.parameters()).param_groups:
            number("objective.optimizer.lr", group["lr"], 0, above=True)
        self._make, self._optimizer, self._moments = optimizer, None, None
        self.steps = 0

    def learn(self, real: Tensor, made: Tensor) -> None:
        """Take one step on what is real and what was made, (N, planes, H, W) each.

        Spectral Normalization's hinge loss, https://arxiv.org/abs/1802.05957: mean of max(0, 1 - D(real)) and
        max(0, 1 + D(made)).
        """
        self.net.requires_grad_(True)
        if self._optimizer is None:  # not before: by now the weights are on their device
            self._optimizer = self._make(self.net.parameters())
            if self._moments is not None:
                self._optimizer.load_state_dict(self._moments)
        loss = self.hinge(real.detach(), made.detach())
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps += 1

    def hinge(self, real: Tensor, made: Tensor) -> Tensor:
        """0-d: 2 where it cannot tell the two apart, 0 where it always can."""
        of_real, of_made = self.net(torch.cat((real, made))).chunk(2)
        return F.relu(1 - of_real).mean() + F.relu(1 + of_made).mean()

    def forward(self, made: Tensor) -> Tensor:
        """0-d: what the other side minimises, -D(made), with a gradient to `made` alone."""
        self.net.requires_grad_(False)
        return -self.net(made).mean()

    def get_extra_state(self) -> dict[str, Any]:
        moments = self._moments if self._optimizer is None else self._optimizer.state_dict()
        return {"steps": self.steps, "moments": moments}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.steps, self._moments, self._optimizer = state["steps"], state["moments"], None
