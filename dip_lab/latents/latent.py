"""The base class of the latents: a fixed input z, with a little fresh noise added at each iteration."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from dip_lab.checks import integer, number
from dip_lab.randomness import generator_of


class Pictured(Protocol):
    """What a latent may see of a problem: never its target."""

    image_shape: tuple[int, int, int, int]
    noise: object | None

    def guide(self) -> Tensor: ...

    def noise_std(self) -> float | None: ...


class Latent(nn.Module):
    """The network's fixed input. A subclass says what z is in `_fixed`.

    The jitter of iteration t is a function of (seed, t) and the kind of device: CPU and CUDA differ.

    Attributes:
        kind: what a network can expect of z: "full" (features of each pixel), "coordinates" (of each pixel, in
            [0, 1]) or "coarse" (features at the small size that a decoder starts from).
        depth: channels of z; for a latent made of the picture, known only after `setup`.
        z: (1, depth, H, W) float32 buffer, not persistent: `prepare` makes it again from the seed.
        ramp: iterations in which the jitter grows from 0 to its full size; 0: it is full from the start.

    Raises:
        ValueError: `depth` is not a whole number of at least 1, or `jitter` is not a number of at least 0.
    """

    kind = "full"
    ramp = 0
    z: Tensor | None

    def __init__(self, depth: int, jitter: float) -> None:
        super().__init__()
        self.depth = integer("latent.depth", depth, 1)
        self.jitter = number("latent.jitter", jitter, 0)
        self.register_buffer("z", None, persistent=False)
        self._jittered: Tensor | None = None

    def setup(self, problem: Pictured) -> None:
        """Take what the latent is made of from the problem, before `depth` is read. Default: does nothing."""

    def prepare(self, height: int, width: int, seed: int) -> None:
        """Make z for the padded size; move the module to its device and memory format afterwards.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        self._seed = seed
        self.z = self._fixed(height, width, seed)
        if not self.z.isfinite().all():
            raise ValueError("latent: some of its values are NaN or infinite: give smaller numbers")
        self._jittered = None

    def _fixed(self, height: int, width: int, seed: int) -> Tensor:
        """z on the CPU, (1, depth, height, width) float32."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, iteration: int | None) -> Tensor:
        """z + jitter * N(0, 1) for an iteration, z itself for None.

        The result is overwritten by the next call: finish the backward pass first, and clone what you keep.
        """
        if iteration is None or self.jitter == 0:
            return self.z
        if self._jittered is None or not _alike(self._jittered, self.z):
            self._jittered = torch.empty_like(self.z)
        return draw_(self._jittered, self._seed, iteration, self.std(iteration)).add_(self.z)

    def std(self, iteration: int) -> float:
        """The standard deviation of an iteration's jitter."""
        return self.jitter * min(1.0, iteration / self.ramp) if self.ramp else self.jitter

    def penalty(self, image: Tensor, crop: Callable[[Tensor], Tensor]) -> Tensor | float:
        """A term that the latent adds to the loss, by default 0; `crop` cuts the margin around the image off."""
        return 0.0

    def after_step(self, image: Tensor, iteration: int) -> None:
        """Update z after a step, whose detached output (1, C, H, W) is `image`. Default: does nothing."""


def draw_(noise: Tensor, seed: int, iteration: int, std: float) -> Tensor:
    """Fill (N, C, H, W) with the jitter of an iteration, std * N(0, 1), channels last.

    In another order than that of the memory, `normal_` is 12 times slower on a CPU.
    """
    channels_last = noise.permute(0, 2, 3, 1)
    generator = generator_of(seed, "jitter", iteration, noise.device)
    if channels_last.is_contiguous():
        channels_last.normal_(0, std, generator=generator)
    else:
        channels_last.copy_(torch.empty(channels_last.shape, device=noise.device).normal_(0, std, generator=generator))
    return noise


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether both have the same device, type, shape and memory layout."""
    return (a.device, a.dtype, a.shape, a.stride()) == (b.device, b.dtype, b.shape, b.stride())
