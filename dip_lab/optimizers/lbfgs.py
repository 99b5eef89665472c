"""L-BFGS for weights in channels-last memory."""

from collections.abc import Callable

import torch
from torch import Tensor


class LBFGS(torch.optim.LBFGS):
    """torch's, which lays the gradients out as one vector with `view` and so takes contiguous ones only."""

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """One step; `closure` computes the loss and the gradients anew."""

        def contiguous() -> Tensor:
            loss = closure()
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad = parameter.grad.contiguous()
            return loss

        return super().step(contiguous)
