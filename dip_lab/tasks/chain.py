"""Several operators, one after the other: a picture with holes that was shrunk, a blurred mosaic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from dip_lab.images import Picture
from dip_lab.tasks.operators import Operator


class Chain(Operator):
    """A = A_n ... A_2 A_1, of operators in the order in which they act on the image.

    `known` is that of the last one: holes that an earlier one makes are part of what the later ones measure. Nothing is
    rounded or clamped between them.

    Args:
        operators: name -> operator; the names are those of `task/operators=[masking,downsample]`.

    Raises:
        ValueError: there is none; (in `given`) a picture that the chain cannot have made.
    """

    def __init__(self, operators: Mapping[str, Operator]):
        super().__init__()
        if not operators:
            raise ValueError("task/operators=[]: list the operators in the order in which they act, such as "
                             "task/operators=[masking,downsample]")
        self.operators = nn.ModuleDict(operators)
        self.unit = math.prod(operator.unit for operator in operators.values())

    @property
    def frames(self) -> slice:
        """Which frames of a clip `forward` is given now: all the operators are told."""
        return self._frames

    @frames.setter
    def frames(self, frames: slice) -> None:
        self._frames = frames
        for operator in self._modules.get("operators", {}).values():  # none yet while the base class is made
            operator.frames = frames

    @torch.no_grad()
    def prepare(self, picture: Picture, seed: int) -> None:
        """Each operator sees what those before it make of the picture."""
        for operator in self._in_order():
            operator.prepare(picture, seed)
            picture = _remade(picture, operator(picture.pixels))
        self.known = operator.known

    @torch.no_grad()
    def prepare_given(self, picture: Picture, seed: int) -> None:
        """From the last to the first: each one sees what would be shown of the observation of those after it."""
        for operator in reversed(self._in_order()):
            operator.prepare_given(picture, seed)
            picture = _remade(picture, operator.observed(operator.given(picture.pixels)))
        self.known = self._in_order()[-1].known

    def forward(self, image: Tensor) -> Tensor:
        """A_n(... A_2(A_1(x)))."""
        for operator in self._in_order():
            image = operator(image)
        return image

    def adjoint(self, observation: Tensor) -> Tensor:
        """The adjoints in reverse."""
        for operator in reversed(self._in_order()):
            observation = operator.adjoint(observation)
        return observation

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The image's shape behind the last operator's observation, behind the one before it, and so on."""
        for operator in reversed(self._in_order()):
            observation_shape = operator.image_shape(observation_shape)
        return observation_shape

    def given(self, pixels: Tensor) -> Tensor:
        """What the last operator says of the picture."""
        observation = self._in_order()[-1].given(pixels)
        shape = tuple(observation.shape[1:])
        with torch.no_grad():
            made = tuple(self(observation.new_zeros(1, *self.image_shape(shape))).shape[1:])
        if made != shape:
            raise ValueError(f"task.given=true: {', '.join(self.operators)} measure {made[0]} channels of "
                             f"{made[2]} x {made[1]} px and the picture has {shape[0]} of {shape[2]} x {shape[1]}: "
                             f"give a picture that they can have made")
        return observation

    def observed(self, observation: Tensor) -> Tensor:
        """What would be shown of the last operator's observation, of the one before it, and so on."""
        for operator in reversed(self._in_order()):
            observation = operator.observed(observation)
        return observation

    def shown(self, image: Tensor) -> Tensor:
        """As of the first operator, whose image it is."""
        return self._in_order()[0].shown(image)

    def window(self, rows: slice, columns: slice) -> tuple[Operator, slice, slice]:
        """The chain of the operators' windows; rows and columns start at multiples of `unit`."""
        parts = {}
        for name, operator in self.operators.items():
            parts[name], rows, columns = operator.window(rows, columns)
        return self._of(parts), rows, columns

    def of_frames(self, frames: slice) -> "Chain":
        """The chain of the operators of these frames."""
        return self._of({name: operator.of_frames(frames) for name, operator in self.operators.items()})

    def joined(self, others: Sequence["Chain"]) -> "Chain":
        """The chain of the operators joined one by one."""
        return self._of({name: operator.joined([other.operators[name] for other in others])
                         for name, operator in self.operators.items()})

    def _of(self, operators: Mapping[str, Operator]) -> "Chain":
        """Another chain, of operators that are prepared."""
        chain = Chain(operators)
        chain.known = chain._in_order()[-1].known
        return chain

    def _in_order(self) -> list[Operator]:
        return list(self.operators.values())


def _remade(picture: Picture, pixels: Tensor) -> Picture:
    """The picture with other pixels; its transparency stays where the size does."""
    kept = picture.pixels.shape[-2:] == pixels.shape[-2:]
    return replace(picture, pixels=pixels, alpha=picture.alpha if kept else None)
