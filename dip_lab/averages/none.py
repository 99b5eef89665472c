"""No running average."""

from typing import Any

from torch import Tensor


class NoAverage:
    """Same surface as `EMA`, with nothing behind it: the answer is a single output."""

    image: None = None

    def update(self, output: Tensor, iteration: int, generator: Any = None) -> None:
        """Nothing to do."""

    def state_dict(self) -> dict[str, Tensor]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing to do."""
