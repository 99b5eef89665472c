"""The interface of every regulariser, and the sum of several."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dip_lab.frames import ALL
from dip_lab.trees import copy_into


class Regularizer:
    """A term that is added to the misfit, or a part of the observation that the image need not explain.

    A subclass overrides the methods that it needs. `saved` names the tensors that a checkpoint must hold; `setup`
    makes everything else again.
    """

    saved: tuple[str, ...] = ()
    of_clips = False  # true: it compares frames, and refuses a single picture

    def setup(self, problem: Any, seed: int) -> None:
        """Prepare for a problem (`observation`, `image_shape`, `operator`), before the first iteration."""

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor | float:
        """The term for an image (1, C, H, W), 0-d float32. Default: 0."""
        return 0.0

    def corruption(self) -> Tensor | None:
        """A tensor to add to A(image) before it is compared with the observation; None (default): nothing."""
        return None

    def after_step(self, image: Tensor, iteration: int) -> None:
        """Called after each step with the step's detached output. Default: does nothing."""

    def state_dict(self) -> dict[str, Tensor | None]:
        """The live tensors (copy them to keep them); loading them continues bit for bit."""
        return {name: getattr(self, name) for name in self.saved}

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """Load a copy of a state, in place where the buffers exist."""
        for name in self.saved:
            setattr(self, name, copy_into(getattr(self, name), state[name]))


class Together(Regularizer):
    """The sum of several regularisers, by name; 0 if there are none."""

    def __init__(self, terms: Mapping[str, Regularizer]):
        self.terms = dict(terms)

    def setup(self, problem: Any, seed: int) -> None:
        for term in self.terms.values():
            term.setup(problem, seed)

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor | float:
        return sum(term(image, frames) for term in self.terms.values())

    def corruption(self) -> Tensor | None:
        present = [part for term in self.terms.values() if (part := term.corruption()) is not None]
        return sum(present[1:], present[0]) if present else None

    def after_step(self, image: Tensor, iteration: int) -> None:
        for term in self.terms.values():
            term.after_step(image, iteration)

    def state_dict(self) -> dict[str, Any]:
        return {name: term.state_dict() for name, term in self.terms.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, term in self.terms.items():
            term.load_state_dict(state[name])
