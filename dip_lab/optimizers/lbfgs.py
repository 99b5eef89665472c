"""L-BFGS for weights in channels-last memory."""

from collections.abc import Callable

import torch
from torch import Tensor


class LBFGS(torch.optim.LBFGS):
    """torch's L-BFGS with contiguous gradients, which it needs: it joins them into one vector with `view`."""

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """Take one step; `closure` computes the loss and the gradients again."""

        def contiguous() -> Tensor:
            loss = closure()
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad = parameter.grad.contiguous()
            return loss

        return super().step(contiguous)
