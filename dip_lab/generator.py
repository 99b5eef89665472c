"""iteration -> image: the latent, the network, and the padding between them and the picture's size."""

import math

import torch
from torch import Tensor, nn

from dip_lab.speed import autocast_dtype


class Generator(nn.Module):
    """`f(z_t)`: an image of exactly the wanted size.

    The latent is made at the next size that the network can halve as often as it wants to, and the output is cropped
    from its centre, so any height and width works and no picture is cropped.

    Args:
        net: network with `stride` and `min_size`: the sides of the images it makes are a multiple of the one, and at
            least the other. One that enlarges says in `upscale` how many times smaller its latent is.
        latent: latent with `prepare(height, width, seed)`.
        size: (height, width) of the image.
        precision: auto, bf16 or float32: arithmetic inside the network; the image is float32 always.
    """

    def __init__(self, net: nn.Module, latent: nn.Module, size: tuple[int, int], precision: str, seed: int):
        super().__init__()
        self.net = net
        self.latent = latent
        self.size = size
        self.precision = precision
        padded = [math.ceil(max(side, net.min_size) / net.stride) * net.stride for side in size]
        self.top, self.left = ((p - side) // 2 for p, side in zip(padded, size, strict=True))
        upscale = getattr(net, "upscale", 1)
        latent.prepare(*(side // upscale for side in padded), seed)
        self.to(memory_format=torch.channels_last)

    def forward(self, iteration: int | None = None) -> Tensor:
        """The image of one iteration, `(1, C, H, W)` float32 in [0, 1]; None: of the latent without jitter."""
        z = self.latent(iteration)
        dtype = autocast_dtype(self.precision, z.device.type)
        with torch.autocast(z.device.type, dtype=dtype, enabled=dtype is not None):
            image = self.net(z)
        height, width = self.size
        return image[..., self.top : self.top + height, self.left : self.left + width].float()
