"""Plug and play: a denoiser in the place of a prior."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.frames import ALL
from dip_lab.regularizers.background import Background, Denoiser
from dip_lab.regularizers.red import start_of
from dip_lab.regularizers.regularizer import Regularizer


class PlugAndPlay(Regularizer):
    """mu * mean (x - (v - u))^2, where v is the denoised x + u: ADMM whose proximal step is a denoiser.

    Plug and play, https://doi.org/10.1109/GlobalSIP.2013.6737048, with the network's output x as the image. At the
    start v is the observation at the image's size and u = 0. The denoiser works in a thread parallel to the fit: at
    each multiple of `every` it is given w = x + u, and at the next multiple, never sooner, v becomes its result and
    u = w - v. Its first image is the observation, after which u stays 0. RED pulls v towards what is denoised; here v
    is what is denoised, so sigma decides how strong this is.

    Args:
        mu: weight relative to a mean misfit, above 0.
        every: iterations between two denoisings, at least 1; the host waits for the device only at these.
        denoiser: callable as in `dip_lab.regularizers.denoisers`.

    Attributes:
        v, u: (1, C, H, W) float32.
        pending: the image that the denoiser is working on, on the CPU.

    Raises:
        ValueError: a number is out of its range, or the denoiser returns an image of another shape.
    """

    saved = ("v", "u", "pending")

    def __init__(self, mu: float, every: int, denoiser: Denoiser) -> None:
        self.mu = number("regularizer.pnp.mu", mu, 0, above=True)
        self.every = integer("regularizer.pnp.every", every, 1)
        self.background = Background(denoiser, "regularizer.pnp.denoiser")

    def setup(self, problem: Any, seed: int) -> None:
        self.v = start_of(problem, "pnp")
        self.u, self.pending = torch.zeros_like(self.v), self.v.cpu().clone()
        self.background.drop()

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor:
        """Image (1, C, H, W) -> 0-d float32."""
        if self.v.device != image.device:
            self.v, self.u = self.v.to(image.device), self.u.to(image.device)
        if not self.background.busy:
            self.background.start(self.pending.clamp(0, 1))
        return self.mu * (image.float() - self.v + self.u).square().mean()

    @torch.no_grad()
    def after_step(self, image: Tensor, iteration: int) -> None:
        if iteration % self.every:
            return
        self.v.copy_(self.background.take())
        if iteration > self.every:  # the first image was the observation: its noise is no part of u
            torch.sub(self.pending.to(self.v.device), self.v, out=self.u)
        self.pending = (image.float() + self.u).to("cpu", copy=True)
        self.background.start(self.pending.clamp(0, 1))

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """Continue from a state: drop the denoising in progress; that of the state will start again."""
        self.background.drop()
        super().load_state_dict(state)
