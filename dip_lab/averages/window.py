"""Mean of the last outputs."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer
from dip_lab.trees import copy_into

LEVELS = 2**15 - 1  # of a stored value: an int16
LARGEST = (2**31 - 1) // LEVELS  # the largest window whose sum always fits an int32


class Window:
    """Mean of the last `window` outputs, each with the same weight; of all outputs while there are fewer.

    The outputs, in [0, 1], are kept in 15 bits (half a step is 1.5e-5, a sixteenth of float16's near 1) and summed in
    whole numbers: what leaves the sum is exactly what entered it, so nothing drifts. This takes 2 * window + 8 bytes
    per value: 41 MB for 256 x 256 in colour and a window of 100. After the first output no more memory is allocated.

    Attributes:
        image: the mean (1, C, H, W), updated in place; None before the first output.

    Raises:
        ValueError: `window` is not a whole number from 1 to 65538.
    """

    def __init__(self, window: int) -> None:
        self.window = integer("average.window", window, 1, LARGEST)
        self.image: Tensor | None = None
        self._kept: Tensor | None = None  # (window, C, H, W) int16, a ring buffer; 0 where still unused
        self._sum: Tensor | None = None  # (1, C, H, W) int32
        self._seen = 0

    @torch.no_grad()
    def update(self, output: Tensor, iteration: int, generator: Any = None) -> None:
        """Add the output (1, C, H, W) of one iteration; the other two arguments are not used."""
        if self.image is None:
            self._kept = output.new_zeros((self.window, *output.shape[1:]), dtype=torch.int16)
            self._sum = output.new_zeros(output.shape, dtype=torch.int32)
            self.image = output.new_zeros(output.shape, dtype=torch.float32)
        elif self.image.device != output.device:  # a state loaded before the fit moved to its device
            self.image, self._kept, self._sum = (t.to(output.device) for t in (self.image, self._kept, self._sum))
        slot = self._kept[self._seen % self.window]
        self._seen += 1
        self._sum.sub_(slot)
        slot.copy_(torch.clamp(output[0], 0, 1, out=self.image[0]).mul_(LEVELS).round_())
        self._sum.add_(slot)
        self.image.copy_(self._sum).mul_(1 / (LEVELS * min(self._seen, self.window)))

    def state_dict(self) -> dict[str, Any]:
        """The live tensors (copy them to keep them) and the count; empty before the first output."""
        if self.image is None:
            return {}
        return {"image": self.image, "kept": self._kept, "sum": self._sum, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a copy of a state, in place where the shapes agree."""
        self.image = copy_into(self.image, state.get("image"))
        self._kept = copy_into(self._kept, state.get("kept"))
        self._sum = copy_into(self._sum, state.get("sum"))
        self._seen = state.get("seen", 0)
