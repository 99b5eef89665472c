"""The self-guided input: the observation at first, then fitted together with the weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dip_lab.checks import integer, number
from dip_lab.latents.image import ImageLatent
from dip_lab.randomness import generator_of


class SelfGuided(ImageLatent):
    """z starts as the observation and is optimised; the data term takes the mean image of several noisy copies of z.

    Copy k of iteration t is z + spread * max(z) * U[0, 1); `weight` * mean (f(z + noise) - z)^2, the denoising term,
    is added to the loss, so that the network removes noise from z rather than reproducing it.
    Self-guided DIP, https://arxiv.org/abs/2402.04097

    Args:
        lr: z's learning rate; the optimiser uses it for z in place of its own. Published 0.1.
        copies: number of noisy copies at each iteration; each is one pass through the network. Published 4.
        spread: size of their noise, as a fraction of the largest value of z.
        weight: of the denoising term.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, lr: float, copies: int, spread: float, weight: float) -> None:
        super().__init__(path=None, noise_depth=0, scale=1, jitter=0)
        self.lr = number("latent.lr", lr, 0, above=True)
        self.copies = integer("latent.copies", copies, 1)
        self.spread = number("latent.spread", spread, 0)
        self.weight = number("latent.weight", weight, 0)
        del self._buffers["z"]  # a parameter from `prepare` on

    def prepare(self, height: int, width: int, seed: int) -> None:
        self._seed = seed
        self.z = nn.Parameter(self._fixed(height, width, seed).clone())
        self._copies: Tensor | None = None

    def forward(self, iteration: int | None) -> Tensor:
        """The noisy copies, (copies, C, H, W), with a gradient to z; z itself for None."""
        if iteration is None:
            return self.z
        shape = (self.copies, *self.z.shape[1:])
        if self._copies is None or self._copies.device != self.z.device:
            self._copies = torch.empty(shape, device=self.z.device)
        noise = self._copies.uniform_(generator=generator_of(self._seed, "jitter", iteration, self.z.device))
        return self.z + self.spread * self.z.detach().max() * noise

    def penalty(self, image: Tensor, crop: Callable[[Tensor], Tensor]) -> Tensor | float:
        return self.weight * (image - crop(self.z)).square().mean()
