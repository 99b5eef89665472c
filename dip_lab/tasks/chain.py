"""Several operators, one after the other: a picture with holes that was shrunk, a blurred mosaic."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from dip_lab.data.images import Images
from dip_lab.tasks.operators import Local, Operator, prepare, unit_of, windowed
from dip_lab.tasks.views import View


class Chain(Local, Operator):
    """A = A_n ... A_2 A_1, of operators in the order in which they act on the image.

    `known` is that of the last operator: holes made by an earlier one are part of what the later ones measure. Nothing
    is rounded or clamped between them.

    Args:
        operators: name -> operator; the names are those of `task/operators=[masking,downsample]`.

    Raises:
        ValueError: the list is empty; (in `window`) one of them measures the picture as a whole.
    """

    task = "chain"

    def __init__(self, operators: Mapping[str, Operator]):
        super().__init__()
        if not operators:
            raise ValueError("task/operators=[]: list the operators in the order in which they act, such as "
                             "task/operators=[masking,downsample]")
        self.operators = nn.ModuleDict(operators)
        self.unit = math.prod(unit_of(operator) for operator in operators.values())
        self.known = self._in_order()[-1].known

    @torch.no_grad()
    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Each operator sees what those before it make of the target.

        A given picture is what the last operator measured. From there back to the first, each operator sees the
        adjoint of what the operator after it saw, which has the size of the image between the two.
        """
        operators = self._in_order()
        for operator in reversed(operators) if given else operators:
            prepare(operator, images, seed, given)
            images = _remade(images, operator.adjoint(operator.given(images.pixels)) if given else
                             operator(images.pixels))
        self.known = operators[-1].known

    def forward(self, image: Tensor) -> Tensor:
        """A_n(... A_2(A_1(x)))."""
        for operator in self._in_order():
            image = operator(image)
        return image

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The image's shape, found from the last operator's observation back to the first operator's image."""
        for operator in reversed(self._in_order()):
            observation_shape = operator.image_shape(observation_shape)
        return observation_shape

    def given(self, pixels: Tensor) -> Tensor:
        """The observation that the last operator takes from the picture."""
        return self._in_order()[-1].given(pixels)

    def window(self, rows: slice, columns: slice) -> tuple[Operator, slice, slice]:
        """The chain of the operators' windows; rows and columns start at multiples of `unit`."""
        parts = {}
        for name, operator in self.operators.items():
            parts[name], rows, columns = windowed(operator, rows, columns)
        return Chain(parts), rows, columns

    def of_frames(self, frames: slice) -> Operator:
        """The chain of the operators of these frames; the chain itself, where no frame has holes of its own."""
        parts = {name: operator.of_frames(frames) for name, operator in self.operators.items()}
        return self if all(parts[name] is self.operators[name] for name in parts) else Chain(parts)

    def _in_order(self) -> list[Operator]:
        return list(self.operators.values())


class ChainView(View):
    """The views of the operators, one after the other, from the last operator's to the first's.

    Args:
        views: name -> view; the names are those of the chain's operators.
    """

    def __init__(self, views: Mapping[str, View]):
        super().__init__()
        self.views = nn.ModuleDict(views)

    def observed(self, observation: Tensor, operator: Chain) -> Tensor:
        """At the image's size."""
        for name, each in reversed(operator.operators.items()):
            observation = self.views[name].observed(observation, each)
        return observation

    def shown(self, image: Tensor) -> Tensor:
        """As the view of the first operator shows it: its image is the image of the chain."""
        return next(iter(self.views.values())).shown(image)


def _remade(images: Images, pixels: Tensor) -> Images:
    """The picture with other pixels; its transparency is kept if the size stays the same."""
    kept = images.pixels.shape[-2:] == pixels.shape[-2:]
    return replace(images, pixels=pixels, alpha=images.alpha if kept else None)
