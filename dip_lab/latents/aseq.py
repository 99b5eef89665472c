"""The input of autoencoding sequential DIP: the network's own output, copied every few steps."""

from collections.abc import Callable

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.latents.image import ImageLatent, mirrored


class Aseq(ImageLatent):
    """z starts as the observation (A^H y); every `inner` iterations it is replaced by the latest image.

    `weight` * mean (f(z) - z)^2, the autoencoding term, is added to the loss.
    aSeqDIP, https://openreview.net/forum?id=K1EG2ABzNE, which denoises with 2000 rounds of 2 inner steps at lr 1e-4.

    Args:
        inner: iterations between two updates of z.
        weight: of the autoencoding term.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, inner: int, weight: float) -> None:
        super().__init__(path=None, noise_depth=0, scale=1, jitter=0)
        self.inner = integer("latent.inner", inner, 1)
        self.weight = number("latent.weight", weight, 0)
        self.register_buffer("z", None)  # it changes during the fit, so checkpoints hold it

    def penalty(self, image: Tensor, crop: Callable[[Tensor], Tensor]) -> Tensor | float:
        return self.weight * (image - crop(self.z)).square().mean()

    @torch.no_grad()
    def after_step(self, image: Tensor, iteration: int) -> None:
        if iteration % self.inner == 0:
            self.z.copy_(mirrored(image, *self.z.shape[-2:]))
