"""Stochastic gradient Langevin dynamics: an optimiser that samples instead of converging."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.randomness import generator_of


class SGLD(torch.optim.Optimizer):
    """Preconditioned SGLD, Li et al. 2016, https://arxiv.org/abs/1512.07666: RMSprop with the right noise.

    `w <- w - lr * G * (grad + weight_decay * w) + N(0, 2 * lr * temperature * G)` for every weight, where
    `G = 1 / (eps + sqrt(v))` and v is the running mean of the squared gradients, corrected for its start at 0. For a
    small `lr` the weights are samples of `exp(-(loss + weight_decay * |w|^2 / 2) / temperature)`; the term for the
    change of G is left out, as usual. When the loss is the mean squared misfit over N = C * H * W values with Gaussian
    noise of variance s^2, the temperature `2 * s^2 / N` makes that the Bayesian posterior, with a prior variance of
    `temperature / weight_decay` for each weight. At higher temperatures networks overfit less, and fit more slowly.

    The noise makes the weights in front of a batch norm grow, so that each step turns them less: no schedule is needed.

    Args:
        lr: above 0.
        temperature: at least 0; 0 is RMSprop.
        weight_decay: at least 0.
        alpha: memory of v, in [0, 1).
        eps: above 0, added to sqrt(v).
        seed: the noise of a step is a function of (seed, step, device).

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, params: Any, lr: float, temperature: float, weight_decay: float, alpha: float, eps: float,
                 seed: int):
        self.seed = seed
        super().__init__(params, {
            "lr": number("optimizer.lr", lr, 0, above=True),
            "temperature": number("optimizer.temperature", temperature, 0),
            "weight_decay": number("optimizer.weight_decay", weight_decay, 0),
            "alpha": number("optimizer.alpha", alpha, 0, 1, below=True),
            "eps": number("optimizer.eps", eps, 0, above=True),
            "step": 0,
        })

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take one step; `closure` computes the loss and the gradients again."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        first = self.param_groups[0]
        generator = generator_of(self.seed, "sgld", first["step"] + 1, first["params"][0].device)
        for group in self.param_groups:
            group["step"] += 1
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._move(weights, group, generator)
        return loss

    def _move(self, weights: list[Tensor], group: dict[str, Any], generator: torch.Generator) -> None:
        gradients = [weight.grad for weight in weights]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["v"] = torch.zeros_like(weight)
        v = [self.state[weight]["v"] for weight in weights]
        torch._foreach_mul_(v, group["alpha"])
        torch._foreach_addcmul_(v, gradients, gradients, 1 - group["alpha"])
        scale = torch._foreach_sqrt(v)  # becomes G
        torch._foreach_div_(scale, math.sqrt(1 - group["alpha"] ** group["step"]))  # v started at 0
        torch._foreach_add_(scale, group["eps"])
        torch._foreach_reciprocal_(scale)
        if group["weight_decay"]:
            gradients = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
        torch._foreach_addcmul_(weights, scale, gradients, -group["lr"])
        if group["temperature"]:
            torch._foreach_sqrt_(scale)
            noise = _normal(weights, generator)
            torch._foreach_addcmul_(weights, scale, noise, math.sqrt(2 * group["lr"] * group["temperature"]))


def _normal(weights: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """N(0, 1) for each weight, from a single draw, the same in every memory format."""
    sizes = [weight.numel() for weight in weights]
    draw = torch.empty(sum(sizes), device=weights[0].device).normal_(generator=generator)
    return [part.view(weight.shape) for part, weight in zip(draw.split(sizes), weights, strict=True)]
