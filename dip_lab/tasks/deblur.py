"""Deblurring: the observation is the image convolved with a known kernel."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from dip_lab.checks import one_of
from dip_lab.tasks.operators import Local, Operator
from dip_lab.tasks.psf import PointSpread


class Blur(Local, Operator):
    """y[i] = sum_k h[k] x[i + c - k]: convolution with the kernel h, whose centre is c = (h // 2, w // 2).

    Made by FFT, so a large kernel costs little. `border` says what lies outside the picture: `circular` continues it
    periodically, `reflect` mirrors it without repeating the edge (SciPy's `mirror`), `replicate` repeats the edge
    (SciPy's `nearest`), `zero` is black. A real photo also holds light from outside: along its edges none is exact.
    A window of the picture sees, within the kernel's reach of its edge, its own border and not its neighbours.

    Raises:
        ValueError: another border; (in the call) a kernel that reaches further than the picture can be reflected.
    """

    task, baseline = "deblur", "wiener"

    def __init__(self, psf: PointSpread, border: str):
        super().__init__()
        self.psf = psf
        self.border = one_of("task.border", border, tuple(OUTSIDE))
        self.kernel = psf.kernel()  # float64, which not every device has: it stays on the CPU
        self.register_buffer("spectrum", torch.empty(0, dtype=torch.complex64), persistent=False)
        self._size = (0, 0)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        image = image.to(torch.promote_types(image.dtype, torch.float32))
        size = tuple(image.shape[-2:])
        if self.border == "circular":
            self._fit(size, image)
            return torch.fft.irfft2(torch.fft.rfft2(image) * self.spectrum, s=size)
        height, width = self.kernel.shape
        for axis, length in ((-2, height), (-1, width)):
            # y[i] sees x from i + c - (length - 1) to i + c
            image = OUTSIDE[self.border](image, length - 1 - length // 2, length // 2, axis)
        padded = tuple(next_fast_len(side, real=True) for side in image.shape[-2:])
        self._fit(padded, image)
        blurred = torch.fft.irfft2(torch.fft.rfft2(image, s=padded) * self.spectrum, s=padded)
        # the padding and the transform's origin have moved the picture by length - 1, less c
        return blurred[..., height - 1 : height - 1 + size[0], width - 1 : width - 1 + size[1]]

    def _fit(self, size: tuple[int, int], like: Tensor) -> None:
        """The kernel's transform for a periodic picture of this size; in a smaller one the kernel wraps around."""
        dtype = torch.promote_types(like.dtype, torch.complex64)
        if self._size == size and (self.spectrum.dtype, self.spectrum.device) == (dtype, like.device):
            return
        centred = self.border == "circular"
        rows, columns = ((torch.arange(length) - (length // 2 if centred else 0)) % side
                         for length, side in zip(self.kernel.shape, size, strict=True))
        periodic = torch.zeros(size, dtype=torch.float64)
        periodic.index_put_((rows[:, None], columns[None, :]), self.kernel, accumulate=True)
        self.spectrum, self._size = torch.fft.rfft2(periodic).to(like.device, dtype), size


class Circular:
    """Observes with a periodic border, whatever border the model has, so that the model errs along the edges."""

    def __call__(self, target: Tensor, operator: Operator) -> Tensor:
        """The circular convolution of the target (N, C, H, W) with the operator's kernel.

        Raises:
            ValueError: the operator has no kernel.
        """
        if not isinstance(operator, Blur):
            raise ValueError("task/observe=circular works for task=deblur only: choose task/observe=operator")
        return Blur(operator.psf, "circular").to(target.device)(target.detach())


def _reflected(image: Tensor, before: int, after: int, axis: int) -> Tensor:
    side = image.shape[axis]
    if max(before, after) >= side:
        raise ValueError(f"task.border=reflect: a picture of {side} px is too small for its kernel, which reaches "
                         f"{max(before, after)} px outside: try task.border=replicate")
    left, right = image.narrow(axis, 1, before), image.narrow(axis, side - 1 - after, after)
    return torch.cat([left.flip(axis), image, right.flip(axis)], axis)


def _replicated(image: Tensor, before: int, after: int, axis: int) -> Tensor:
    left, right = image.narrow(axis, 0, 1), image.narrow(axis, image.shape[axis] - 1, 1)
    return torch.cat([left.repeat_interleave(before, axis), image, right.repeat_interleave(after, axis)], axis)


def _black(image: Tensor, before: int, after: int, axis: int) -> Tensor:
    return F.pad(image, (0, 0, before, after) if axis == -2 else (before, after))


# by hand: the gradients of torch's own reflection and replication padding are not deterministic on a GPU
OUTSIDE: dict[str, Callable | None] = {
    "circular": None, "reflect": _reflected, "replicate": _replicated, "zero": _black,
}
