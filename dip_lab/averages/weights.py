"""Exponential moving average of the weights."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dip_lab.checks import integer, number
from dip_lab.generator import Generator
from dip_lab.trees import copy_into


class WeightAverage:
    """The image of a network with the moving average of the fit's weights, computed every `every` iterations.

    average = decay * average + (1 - decay) * weights after each step, starting from the first, without bias correction.
    Averaging Weights Leads to Wider Optima, https://arxiv.org/abs/1803.05407. This is not the same as averaging
    outputs, since the network is not linear. The image is made from the latent without jitter. Batch norm takes its
    statistics from that same forward pass, as it always does in training, so they fit the averaged weights; the
    running statistics of the live network do not change. An image costs one forward pass, about a third of an
    iteration.

    Args:
        decay: in [0, 1); 0.99 remembers about the last 100 steps.
        every: iterations from one image to the next, at least 1.

    Attributes:
        image: the image (1, C, H, W), updated in place; before iteration `every` the latest output, None at first.

    Raises:
        ValueError: `decay` is not a number in [0, 1), or `every` is not a whole number of at least 1.
    """

    def __init__(self, decay: float, every: int) -> None:
        self._follow = get_ema_multi_avg_fn(number("average.decay", decay, 0, 1, below=True))
        self.every = integer("average.every", every, 1)
        self.image: Tensor | None = None
        self._weights: dict[str, Tensor] | None = None  # of the generator, including a learned latent

    @torch.no_grad()
    def update(self, output: Tensor, iteration: int, generator: Generator) -> None:
        """Add the weights of `generator` after one iteration, counted from 1, and its output (1, C, H, W)."""
        live = {name: weight.detach() for name, weight in generator.named_parameters()}
        if self.image is None:
            self.image = output.detach().float().clone()
            self._weights = {name: weight.clone() for name, weight in live.items()}
        else:
            if self.image.device != output.device:  # a state loaded before the fit moved to its device
                self.image = self.image.to(output.device)
                self._weights = {name: weight.to(output.device) for name, weight in self._weights.items()}
            self._follow(list(self._weights.values()), list(live.values()), None)
        if iteration % self.every == 0:
            running = {name: buffer.clone() for name, buffer in generator.net.named_buffers(prefix="net")}
            self.image.copy_(functional_call(generator, self._weights | running, (None,)))
        elif iteration < self.every:
            self.image.copy_(output)

    def state_dict(self) -> dict[str, Any]:
        """The live tensors (copy them to keep them); empty before the first output."""
        return {} if self.image is None else {"image": self.image, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a copy of a state, in place where the shapes agree."""
        self.image = copy_into(self.image, state.get("image"))
        self._weights = copy_into(self._weights, state.get("weights"))
