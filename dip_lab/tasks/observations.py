"""How the clean observation of a target is made."""

from torch import Tensor

from dip_lab.tasks.operators import Operator


class ByOperator:
    """The operator itself: y = A(target), so the model that is fitted is exact."""

    degrades = False

    def __call__(self, target: Tensor, operator: Operator) -> Tensor:
        """A(target), without a graph."""
        return operator(target.detach())
