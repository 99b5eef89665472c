"""iteration -> image: the latent, the network, and the padding between them and the picture's size."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import flag, integer
from dip_lab.frames import ALL
from dip_lab.precision import autocast_dtype


class Generator(nn.Module):
    """`f(z_t)`: an image of exactly the wanted size.

    The latent is made at the next size that the network can halve as often as it needs to, and the output is cropped
    to its centre, so any height and width works and no picture is cropped.

    Args:
        net: network with `stride` and `min_size`: the sides of the images it makes are multiples of `stride`, and at
            least `min_size`. A network that enlarges says in `upscale` how many times smaller its latent is.
        latent: latent with `prepare(height, width, seed)`.
        size: (height, width) of the image.
        precision: auto, bf16 or float32: arithmetic inside the network; the image is always float32.
        coarse_to_fine: `factor` and `iterations`: in the first `iterations`, images are made at 1 / factor of the
            size, from every factor-th value of the latent, and enlarged bilinearly; the weights are kept after that.
        frozen_norms: the network's batch norms use the running mean and variance that its weights came with, and leave
            them as they are; otherwise those of the picture.

    Raises:
        ValueError: `coarse_to_fine` is out of its range, or the latent is small already.
    """

    def __init__(self, net: nn.Module, latent: nn.Module, size: tuple[int, int], precision: str, seed: int,
                 coarse_to_fine: Mapping[str, int], frozen_norms: bool = False):
        super().__init__()
        self.frozen_norms = flag("generator.frozen_norms", frozen_norms)
        self.factor = integer("generator.coarse_to_fine.factor", coarse_to_fine["factor"], 1)
        self.coarse_iterations = integer("generator.coarse_to_fine.iterations", coarse_to_fine["iterations"], 0)
        if self.factor > 1 and latent.kind == "coarse":
            raise ValueError(f"generator.coarse_to_fine.factor={self.factor}: this network's latent is small already: "
                             "leave it 1")
        self.net = net
        self.latent = latent
        self.size = size
        self.precision = precision
        unit = net.stride * self.factor
        padded = [math.ceil(max(side, net.min_size * self.factor) / unit) * unit for side in size]
        self.padded = tuple(padded)
        self.top, self.left = ((p - side) // 2 for p, side in zip(padded, size, strict=True))
        upscale = getattr(net, "upscale", 1)
        latent.prepare(*(side // upscale for side in padded), seed)
        self.to(memory_format=torch.channels_last)
        self.train()  # Lightning leaves the modes as they are

    def train(self, mode: bool = True) -> "Generator":
        """As in torch, but a network with frozen norms stays in eval mode."""
        super().train(mode)
        self.net.train(mode and not self.frozen_norms)
        return self

    def forward(self, iteration: int | None = None) -> Tensor:
        """The image of one iteration, `(1, C, H, W)` float32 in [0, 1]; None: the image of the latent without jitter.
        """
        return self._made(iteration, ALL)

    def _made(self, iteration: int | None, frames: slice) -> Tensor:
        z = self._input(iteration, frames)
        if self.factor == 1 or iteration is None or iteration > self.coarse_iterations:
            return self._image_of(z)
        small = z[..., :: self.factor, :: self.factor].contiguous(memory_format=torch.channels_last)
        return self._image_of(small)

    def frames_of(self, iteration: int) -> slice:
        """Which images of a stack an iteration makes. For a single picture: all."""
        return ALL

    def _image_of(self, z: Tensor) -> Tensor:
        dtype = autocast_dtype(self.precision, z.device.type)
        with torch.autocast(z.device.type, dtype=dtype, enabled=dtype is not None):
            image = self.net(z)
        image = self._merged(image.float())
        if image.shape[-2:] != self.padded:
            image = F.interpolate(image, self.padded, mode="bilinear")
        return self._crop(image)

    def whole(self, image: Tensor, iteration: int) -> Tensor:
        """The step's output, detached: the image that an iteration made; for a clip, all its frames."""
        return image.detach()

    @torch.no_grad()
    def probed(self, change: Tensor) -> tuple[Tensor, Tensor]:
        """The images of z without jitter and of z + `change` (of the image's size); the fit stays as it was."""
        moved = self.latent.z.clone()
        self._crop(moved).add_(change)
        before = [buffer.clone() for buffer in self.net.buffers()]  # batch norm's running averages
        images = self._image_of(self.latent.z), self._image_of(moved)
        for buffer, value in zip(self.net.buffers(), before, strict=True):
            buffer.copy_(value)
        return images

    def penalty(self, image: Tensor) -> Tensor | float:
        """What the latent adds to the loss of this image; 0 for most."""
        return self.latent.penalty(image, self._crop)

    def after_step(self, image: Tensor, iteration: int) -> None:
        """Show the latent the step's output, detached: some latents are updated from it."""
        self.latent.after_step(image, iteration)

    def _input(self, iteration: int | None, frames: slice) -> Tensor:
        return self.latent(iteration)

    def _merged(self, images: Tensor) -> Tensor:
        """The mean of the images: a latent with several noisy copies makes one image of each copy."""
        return images.mean(0, keepdim=True) if len(images) > 1 else images

    def _crop(self, padded: Tensor) -> Tensor:
        height, width = self.size
        return padded[..., self.top : self.top + height, self.left : self.left + width]
