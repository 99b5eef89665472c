"""No running average."""

from typing import Any

from torch import Tensor


class NoAverage:
    """The interface of `EMA` without an average: the answer is a single output."""

    image: None = None

    def update(self, output: Tensor, iteration: int, generator: Any = None) -> None:
        """Does nothing."""

    def state_dict(self) -> dict[str, Tensor]:
        """An empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Does nothing."""
