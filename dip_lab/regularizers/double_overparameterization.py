"""A sparse corruption of the observation, fitted together with the image."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import number
from dip_lab.randomness import generator_of
from dip_lab.regularizers.regularizer import Regularizer


class DoubleOverparameterization(Regularizer):
    """A(x) + g * g - h * h is compared with the observation; g and h are fitted along with the network.

    From a tiny start, gradient descent on g and h finds a sparse corruption, such as salt and pepper, and leaves the
    image to the network. https://arxiv.org/abs/2006.08857

    Args:
        lr: step of g and h on the SUM of the misfit's terms (its mean times the number of values), so that it means
            the same for a picture of any size. Published: 500 on the mean at 512 x 512 x 3, which is 6.4e-4, over
            150000 iterations.
        init: standard deviation of g and h at the start. It must be positive, because 0 would stay 0.

    Attributes:
        g, h: float32 tensors of the observation's shape.

    Raises:
        ValueError: `lr` or `init` is not a positive number.
    """

    saved = ("g", "h")

    def __init__(self, lr: float, init: float) -> None:
        self.lr = number("regularizer.double_overparameterization.lr", lr, 0, above=True)
        self.init = number("regularizer.double_overparameterization.init", init, 0, above=True)

    def setup(self, problem: Any, seed: int) -> None:
        """Draw g and h on the CPU, so that they are the same on every device."""
        self.problem = problem
        random = generator_of(seed, "double_overparameterization")
        self.g, self.h = self.init * torch.randn(2, *problem.observation.shape, generator=random)
        self._corruption = torch.empty_like(self.g).requires_grad_()

    @torch.no_grad()
    def corruption(self) -> Tensor:
        """g * g - h * h as a leaf tensor whose gradient `after_step` reads; the next call overwrites it."""
        device = self.problem.observation.device
        if self.g.device != device:
            self.g, self.h = self.g.to(device), self.h.to(device)
            self._corruption = torch.empty_like(self.g).requires_grad_()
        self._corruption.grad = None  # L-BFGS, for one, calls this several times in a step: the last call counts
        return torch.mul(self.g, self.g, out=self._corruption).addcmul_(self.h, self.h, value=-1)

    @torch.no_grad()
    def after_step(self, image: Tensor, iteration: int) -> None:
        """Take one step of plain gradient descent, if there was a backward pass since the last step."""
        gradient = self._corruption.grad
        if gradient is None:
            return
        step = 2 * self.lr * gradient.numel()
        self.g.addcmul_(self.g, gradient, value=-step)
        self.h.addcmul_(self.h, gradient, value=step)
        self._corruption.grad = None
