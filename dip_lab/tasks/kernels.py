"""One-dimensional antialiasing kernels and the downsampling matrices made from them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dip_lab.checks import one_of


@dataclass(frozen=True)
class Kernel:
    """A symmetric kernel k(d), d in low-resolution pixels, sampled at half-integer phase.

    `border` says what lies outside the picture: `replicate` repeats its edge, as the published code of Deep
    Image Prior does; `renormalise` leaves the outside out and scales the other taps to sum 1, as Pillow and
    torch do.
    """

    border: str

    def __post_init__(self) -> None:
        one_of("task.kernel.border", self.border, ("replicate", "renormalise"))

    @property
    def support(self) -> float:
        """Half the kernel's width, in low-resolution pixels."""
        raise NotImplementedError

    def value(self, distance: Tensor) -> Tensor:
        """k(d), not normalised."""
        raise NotImplementedError

    def taps(self, factor: int) -> Tensor:
        """The 2 * support * factor weights of one output pixel, float64, sum 1."""
        count = round(2 * self.support * factor)
        weights = self.value((torch.arange(count, dtype=torch.float64) + 0.5 - count / 2) / factor)
        return weights / weights.sum()

    def matrix(self, size: int, factor: int) -> Tensor:
        """The (ceil(size / factor), size) float64 matrix that shrinks one axis; its rows sum to 1.

        A size that is not a multiple of the factor is continued at its end by copies of the last pixel.
        """
        taps = self.taps(factor)
        rows = -(-size // factor)
        first = torch.arange(rows)[:, None] * factor - (len(taps) - factor) // 2
        columns = first + torch.arange(len(taps))
        weights = taps.expand(rows, -1)
        if self.border == "renormalise":
            weights = weights * ((columns >= 0) & (columns < rows * factor))
            weights = weights / weights.sum(1, keepdim=True)
        return torch.zeros(rows, size, dtype=torch.float64).scatter_add_(
            1, columns.clamp(0, size - 1), weights
        )


@dataclass(frozen=True)
class Lanczos(Kernel):
    """sinc(d) sinc(d / lobes); lobes=3 with `border=renormalise` is Pillow's LANCZOS."""

    lobes: int

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("task.kernel.lobes", self.lobes, (2, 3))

    @property
    def support(self) -> float:
        return self.lobes

    def value(self, distance: Tensor) -> Tensor:
        return torch.sinc(distance) * torch.sinc(distance / self.lobes)


@dataclass(frozen=True)
class Bicubic(Kernel):
    """Keys' cubic with a = -1/2, as in Pillow, MATLAB and torch with antialias."""

    @property
    def support(self) -> float:
        return 2

    def value(self, distance: Tensor) -> Tensor:
        d = distance.abs()
        return torch.where(d < 1, (1.5 * d - 2.5) * d * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2)


@dataclass(frozen=True)
class Bilinear(Kernel):
    """The triangle 1 - |d|."""

    @property
    def support(self) -> float:
        return 1

    def value(self, distance: Tensor) -> Tensor:
        return 1 - distance.abs()


@dataclass(frozen=True)
class Box(Kernel):
    """The mean of factor x factor pixels."""

    @property
    def support(self) -> float:
        return 0.5

    def value(self, distance: Tensor) -> Tensor:
        return torch.ones_like(distance)
