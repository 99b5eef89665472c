"""What every forward operator A offers: image -> noiseless observation."""

import copy

import torch
from torch import Tensor, nn

from dip_lab.data.images import Images


class Operator(nn.Module):
    """A linear map A of images `(N, C, H, W)`. A new one defines `forward`.

    `forward` computes in float32 at least. An operator that draws or reads something also defines `prepare`. One that
    changes the shape, and may be given a degraded picture (`task.given=true`), also defines `image_shape`.

    Attributes:
        known: 1 where the observation was measured and 0 elsewhere, broadcastable to it, or with one row for each frame
            of a clip; None: everywhere.
        image: (C, H, W) of the image; None: the observation's.
        degrades: false where A(x) = x, so that without noise the picture is the observation.
        broadcasts: true where A(x) has one channel that stands for every channel of the observation.
        task: its option of configs/task, for error messages.
        baseline: the classical method to try first.
    """

    degrades = True
    broadcasts = False
    task = "custom"
    baseline = "tv"
    image: tuple[int, int, int] | None = None

    def __init__(self):
        super().__init__()
        self.register_buffer("known", None, persistent=False)

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Draw or read what depends on the picture: a mask, matrices. Default: does nothing.

        Args:
            images: the target; with `given`, the picture that is already degraded.
            seed: decides what is drawn.
            given: whether the picture is already degraded.
        """

    def forward(self, image: Tensor) -> Tensor:
        """A(x)."""
        raise NotImplementedError

    def adjoint(self, observation: Tensor) -> Tensor:
        """A^T(y), shaped like the image, in float32 at least; by reverse differentiation at 0.

        <A(x) - A(0), y> = <x, A^T(y)>, exactly; A(0) = 0 where A is linear.
        """
        observation = observation.to(torch.promote_types(observation.dtype, torch.float32))
        shape = len(observation), *self.image_shape(tuple(observation.shape[1:]))
        _, pull = torch.func.vjp(self, observation.new_zeros(shape))
        return pull(observation)[0]

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(C, H, W) of the image behind an observation of this shape. Default: `image`, else the same shape."""
        return self.image or observation_shape

    def given(self, pixels: Tensor) -> Tensor:
        """The observation that a degraded picture (N, C, H, W) holds. Default: the picture, 0 in its holes."""
        return pixels if self.known is None else pixels * self.known

    def of_frames(self, frames: slice) -> "Operator":
        """The operator of some frames of a clip: itself, unless each frame has holes of its own."""
        if self.known is None or len(self.known) == 1:
            return self
        return _copied(self, known=self.known[frames])


class Local:
    """Mixin of an operator that can be cut into windows: each value of the observation depends on pixels nearby.

    Attributes:
        unit: a window starts at multiples of this many pixels.
    """

    unit = 1

    def window(self, rows: slice, columns: slice) -> tuple[Operator, slice, slice]:
        """The operator of a window of the image, and the window of the observation. Default: both are the same."""
        part = _copied(self) if self.known is None else _copied(self, known=self.known[..., rows, columns])
        if self.image is not None:
            part.image = (self.image[0], rows.stop - rows.start, columns.stop - columns.start)
        return part, rows, columns


class Stack(Operator):
    """Several operators side by side: the first maps the first image of a stack, and so on. For tiles of a picture."""

    def __init__(self, operators: list[Operator]):
        super().__init__()
        self.operators = nn.ModuleList(operators)
        self.image = operators[0].image
        if operators[0].known is not None:
            known = [operator.known for operator in operators]
            self.known = torch.cat([each.expand(-1, *known[0].shape[1:]) for each in known])

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) for N operators."""
        return torch.cat([operator(each) for operator, each in zip(self.operators, image.split(1), strict=True)])

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """That of the first operator, which all have in common."""
        return self.operators[0].image_shape(observation_shape)

    def of_frames(self, frames: slice) -> Operator:
        """The operators of these images; a single one as it is."""
        some = list(self.operators)[frames]
        return some[0] if len(some) == 1 else Stack(some)


def prepare(operator: Operator, images: Images, seed: int, given: bool) -> None:
    """Prepare an operator for a picture, and note the shape of the image it maps."""
    if not given:
        operator.image = tuple(images.pixels.shape[1:])
    operator.prepare(images, seed, given)


def windowed(operator: Operator, rows: slice, columns: slice) -> tuple[Operator, slice, slice]:
    """The operator of a window of the image, and the window of the observation.

    Raises:
        ValueError: each value of the observation depends on the whole picture.
    """
    if not isinstance(operator, Local):
        raise ValueError(f"tile: {type(operator).__name__} measures the picture as a whole: leave tile null")
    return operator.window(rows, columns)


def unit_of(operator: Operator) -> int:
    """A window starts at multiples of this many pixels."""
    return getattr(operator, "unit", 1)


def _copied(operator: Operator, **buffers: Tensor) -> Operator:
    """A shallow copy with some buffers replaced; the others, which may be large, are shared."""
    part = copy.copy(operator)
    part._buffers = {**operator._buffers, **buffers}
    part._modules = dict(operator._modules)
    return part
