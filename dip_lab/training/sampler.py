"""A network as a generator of pictures: random latents in, pictures out."""

import torch
from torch import Tensor, nn

from dip_lab.precision import autocast_dtype
from dip_lab.randomness import generator_of

KIND = "coarse"  # of the latents that a generator takes


def check(net: type) -> None:
    """Refuse a class of networks that do not enlarge a small latent.

    Raises:
        ValueError: it takes latents of other kinds.
    """
    if KIND not in getattr(net, "latents", ()):
        raise ValueError(f"objective=generative: {net.__name__} makes no picture from a small random latent: give "
                         "net=dcgan")


class Sampler(nn.Module):
    """(N, depth, h, w) -> pictures (N, channels, upscale h, upscale w).

    Args:
        net: with `upscale`, of which the latents are a fraction.
        depth: channels of a latent.
        precision: auto, bf16 or float32: arithmetic inside the network.
    """

    def __init__(self, net: nn.Module, depth: int, precision: str = "float32"):
        super().__init__()
        self.net, self.depth, self.precision = net, depth, precision
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        """Pictures in [0, 1], float32."""
        dtype = autocast_dtype(self.precision, z.device.type)
        with torch.autocast(z.device.type, dtype=dtype, enabled=dtype is not None):
            return self.net(z.contiguous(memory_format=torch.channels_last)).float()

    def latents(self, count: int, height: int, width: int, seed: int, purpose: str, iteration: int = 0) -> Tensor:
        """Latents from N(0, 1) for pictures of at least this size, a function of (seed, purpose, iteration)."""
        rows, columns = (-(-side // self.net.upscale) for side in (height, width))
        return torch.randn(count, self.depth, rows, columns, generator=generator_of(seed, purpose, iteration))

    @torch.no_grad()
    def drawn(self, count: int, height: int, width: int, seed: int, purpose: str) -> Tensor:
        """Pictures of this size, of latents as above, made a few at a time on the network's device."""
        z = self.latents(count, height, width, seed, purpose).to(next(self.parameters()).device)
        return torch.cat([self(part) for part in z.split(16)])[..., :height, :width]
