"""Muon: the matrices of the momentum are made orthogonal before each step."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from dip_lab.checks import number
from dip_lab.precision import has_fast_bf16


class Muon(torch.optim.Optimizer):
    """Muon, https://kellerjordan.github.io/posts/muon/, with Adam for everything that is not a matrix.

    A weight of two or more dimensions and more than one row counts as a matrix: first dimension x all others. Its step
    is `lr * sqrt(max(1, rows / columns))` times the orthogonalised Nesterov momentum. Biases, norms, tables of shape
    (1, ...) and a learned latent take Adam's step. torch.optim.Muon takes matrices only, and always uses bfloat16.

    A parameter group with its own `lr` uses it for both kinds. `group["lr"]`, which schedules change, scales both.

    Args:
        lr: step of the matrices, above 0: their update has singular values of about 1, whatever the gradient.
        momentum: in [0, 1).
        adam_lr: step of everything else, above 0.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, params: Any, lr: float, momentum: float, adam_lr: float):
        lr = number("optimizer.lr", lr, 0, above=True)
        self.adam_share = number("optimizer.adam_lr", adam_lr, 0, above=True) / lr
        super().__init__(params, {"lr": lr, "momentum": number("optimizer.momentum", momentum, 0, 1, below=True)})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group as torch does, and store Adam's learning rate as a multiple of the group's."""
        share = 1.0 if "lr" in param_group else self.adam_share
        super().add_param_group({"adam_share": share} | param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take one step; `closure` computes the loss and the gradients again."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            self._muon([weight for weight in weights if _is_matrix(weight)], group["lr"], group["momentum"])
            self._adam([weight for weight in weights if not _is_matrix(weight)], group["lr"] * group["adam_share"])
        return loss

    def _muon(self, weights: list[Tensor], lr: float, momentum: float) -> None:
        alike = defaultdict(list)  # matrices of one size go through Newton-Schulz together: fewer launches on a GPU
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            average = state["momentum"].lerp_(weight.grad, 1 - momentum)
            matrix = weight.grad.lerp(average, momentum).flatten(1)
            alike[matrix.shape].append((weight, matrix))
        for (rows, columns), pairs in alike.items():
            steps = orthogonalised(torch.stack([matrix for _, matrix in pairs]))
            for (weight, _), step in zip(pairs, steps, strict=True):
                weight.add_(step.view(weight.shape), alpha=-lr * math.sqrt(max(1, rows / columns)))

    def _adam(self, weights: list[Tensor], lr: float) -> None:
        if not weights:
            return
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(weight),
                                      "exp_avg_sq": torch.zeros_like(weight)}
        kept = [[self.state[weight][key] for weight in weights] for key in ("exp_avg", "exp_avg_sq", "step")]
        adam(weights, [weight.grad for weight in weights], kept[0], kept[1], [], kept[2],
             amsgrad=False, beta1=0.9, beta2=0.999, lr=lr, weight_decay=0, eps=1e-8, maximize=False)


def orthogonalised(matrices: Tensor) -> Tensor:
    """The matrices (n, rows, columns) with their singular values brought to about 1 (0.7 to 1.2), as float32.

    Five steps of Newton-Schulz with the coefficients of the post above, which are chosen for speed and not for
    convergence: a singular value below a thousandth of the matrix's norm stays smaller.
    """
    x = matrices.bfloat16() if has_fast_bf16(matrices.device.type) else matrices.float()
    wide = x.shape[1] <= x.shape[2]
    x = x if wide else x.mT  # the smaller of the two products
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x if wide else x.mT).float().contiguous()


def _is_matrix(weight: Tensor) -> bool:
    return weight.ndim >= 2 and len(weight) > 1
