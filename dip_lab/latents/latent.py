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

    def guide(self) -> Tensor: ...


class Latent(nn.Module):
    """The network's fixed input. A subclass says what z is in `_fixed`.

    The jitter of iteration t is a function of (seed, t) and the kind of device: CPU and CUDA differ.

    Attributes:
        kind: what a network can expect of z: "full" (features of each pixel), "coordinates" (of each pixel, in
            [0, 1]) or "coarse" (features at the small size that a decoder starts from).
        depth: channels of z; for a latent made of the picture, known only after `setup`.
        z: (1, depth, H, W) float32 buffer, not persistent: `prepare` makes it again from the seed.

    Raises:
        ValueError: `depth` is not a whole number of at least 1, or `jitter` is not a number of at least 0.
    """

    kind = "full"
    z: Tensor | None

    def __init__(self, depth: int, jitter: float) -> None:
        super().__init__()
        self.depth = integer("latent.depth", depth, 1)
        self.jitter = number("latent.jitter", jitter, 0)
        self.register_buffer("z", None, persistent=False)
        self._noise: Tensor | None = None
        self._jittered: Tensor | None = None

    def setup(self, problem: Pictured) -> None:
        """Take what the latent is made of from the problem, before `depth` is read. Default: does nothing."""

    def prepare(self, height: int, width: int, seed: int) -> None:
        """Make z for the padded size; move the module to its device and memory format afterwards."""
        self._seed = seed
        self.z = self._fixed(height, width, seed)
        self._noise = self._jittered = None

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
        return torch.add(self.z, self._draw(iteration), alpha=self.jitter, out=self._jittered)

    def penalty(self, image: Tensor, crop: Callable[[Tensor], Tensor]) -> Tensor | float:
        """A term that the latent adds to the loss, by default 0; `crop` cuts the margin around the image off."""
        return 0.0

    def after_step(self, image: Tensor, iteration: int) -> None:
        """Update z after a step, whose detached output (1, C, H, W) is `image`. Default: does nothing."""

    def _draw(self, iteration: int) -> Tensor:
        """N(0, 1) of z's size, into a buffer that the next call overwrites."""
        # Drawn in contiguous memory whatever z's layout: normal_ on a channels-last tensor is 12 times slower
        # on the CPU (32 x 256 x 256: 74 ms against 6 ms), and a seed then gives the same noise in both layouts.
        if self._noise is None or self._noise.shape != self.z.shape or self._noise.device != self.z.device:
            self._noise = torch.empty_like(self.z, memory_format=torch.contiguous_format)
        return self._noise.normal_(generator=generator_of(self._seed, "jitter", iteration, self.z.device))


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether both have the same device, type, shape and memory layout."""
    return (a.device, a.dtype, a.shape, a.stride()) == (b.device, b.dtype, b.shape, b.stride())
