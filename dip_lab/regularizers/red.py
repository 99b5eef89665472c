"""Regularisation by denoising."""

from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer, number, one_of
from dip_lab.frames import ALL
from dip_lab.regularizers.background import Background, Denoiser
from dip_lab.regularizers.regularizer import Regularizer

STEPS = ("fixed_point", "gradient", "mixed")


class RED(Regularizer):
    """mu * mean (x - (v - u))^2, where v follows both the output x and a denoised v: DeepRED by ADMM.

    At the start v is the observation at the image's size and u = 0. After each step v moves and u += x - v. Its move is
    the fixed point v = clip((beta * D(v) + mu * (x + u)) / (beta + mu)), or a step against the gradient,
    v = clip(v - rate * (beta * (v - D(v)) + mu * (v - x - u))), or the one where D(v) is new and the other elsewhere
    (mixed). The denoiser D need not be differentiable and works in a thread parallel to the fit: at each multiple of
    `every` it is given v, and its result is used at the next multiple, never sooner, so that a fit does not depend on
    the speed of the thread. As in https://arxiv.org/abs/1903.10176, but with constant mu and beta.

    Args:
        mu: weight relative to a mean misfit, above 0.
        beta: weight of the denoised image, at least 0 (0: v is the clipped x + u).
        every: iterations between two denoisings, at least 1; the host waits for the device only at these.
        step: fixed_point, gradient or mixed.
        rate: of a step against the gradient, above 0.
        denoiser: callable as in `dip_lab.regularizers.denoisers`.

    Attributes:
        v, u, denoised: (1, C, H, W) float32.
        pending: the image that the denoiser is working on, on the CPU.

    Raises:
        ValueError: a number is out of its range, or the denoiser returns an image of another shape.
    """

    saved = ("v", "u", "denoised", "pending")

    def __init__(self, mu: float, beta: float, every: int, denoiser: Denoiser, step: str = "fixed_point",
                 rate: float = 1.0) -> None:
        self.mu = number("regularizer.red.mu", mu, 0, above=True)
        self.beta = number("regularizer.red.beta", beta, 0)
        self.every = integer("regularizer.red.every", every, 1)
        self.step = one_of("regularizer.red.step", step, STEPS)
        self.rate = number("regularizer.red.rate", rate, 0, above=True)
        self.background = Background(denoiser, "regularizer.red.denoiser")

    def setup(self, problem: Any, seed: int) -> None:
        self.v = start_of(problem, "red")
        self.u, self.denoised = torch.zeros_like(self.v), self.v.clone()
        self.pending = self.v.cpu().clone()
        self.background.drop()

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor:
        """Image (1, C, H, W) -> 0-d float32."""
        if self.v.device != image.device:
            self.v, self.u, self.denoised = (x.to(image.device) for x in (self.v, self.u, self.denoised))
        if not self.background.busy:
            self.background.start(self.pending)
        return self.mu * (image.float() - self.v + self.u).square().mean()

    @torch.no_grad()
    def after_step(self, image: Tensor, iteration: int) -> None:
        fresh = iteration % self.every == 0
        if fresh:
            self.denoised.copy_(self.background.take())
            self.pending = self.v.to("cpu", copy=True)
            self.background.start(self.pending)
        self.u.add_(image)
        if self.step == "fixed_point" or (self.step == "mixed" and fresh):
            torch.lerp(self.u, self.denoised, self.beta / (self.beta + self.mu), out=self.v)
        else:
            self.v.mul_(1 - self.rate * (self.beta + self.mu))
            self.v.add_(self.denoised, alpha=self.rate * self.beta).add_(self.u, alpha=self.rate * self.mu)
        self.u.sub_(self.v.clamp_(0, 1))

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """Continue from a state: drop the denoising in progress; that of the state will start again."""
        self.background.drop()
        super().load_state_dict(state)


def start_of(problem: Any, option: str) -> Tensor:
    """The observation at the image's size, (1, C, H, W) in [0, 1], without the values that are held out.

    Raises:
        ValueError: a clip, or an observation that is no picture of the image.
    """
    if problem.image_shape[0] > 1:
        raise ValueError(f"regularizer={option} works for single pictures only: use video=per_frame")
    observed = problem.guide()
    if tuple(observed.shape) != tuple(problem.image_shape):
        raise ValueError(f"regularizer={option}: {problem.name} is observed as {list(observed.shape[1:])} and restored "
                         f"as {list(problem.image_shape[1:])}: give another regularizer")
    return observed.float().clone().clamp_(0, 1)
