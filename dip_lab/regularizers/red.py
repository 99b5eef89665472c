"""Regularisation by denoising."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.frames import ALL
from dip_lab.regularizers.regularizer import Regularizer

Denoiser = Callable[[np.ndarray], np.ndarray]  # (H, W, C) float32 in [0, 1] -> the same


class RED(Regularizer):
    """mu * mean (x - (v - u))^2, where v follows both the output x and a denoised v: DeepRED by ADMM.

    At the start v is the observation at the image's size and u = 0. After each step
    v = clip((beta * D(v) + mu * (x + u)) / (beta + mu)) and u += x - v. The denoiser D need not be differentiable and
    works in a thread parallel to the fit: at each multiple of `every` it is given v, and its result is used at the
    next multiple, never sooner, so that a fit does not depend on the speed of the thread. As in
    https://arxiv.org/abs/1903.10176, but with constant mu and beta.

    Args:
        mu: weight relative to a mean misfit, above 0.
        beta: weight of the denoised image, at least 0 (0: v is the clipped x + u).
        every: iterations between two denoisings, at least 1; the host waits for the device only at these.
        denoiser: callable as in `dip_lab.regularizers.denoisers`.

    Attributes:
        v, u, denoised: (1, C, H, W) float32.
        pending: the image that the denoiser is working on, on the CPU.

    Raises:
        ValueError: a number is out of its range, or the denoiser returns an image of another shape.
    """

    saved = ("v", "u", "denoised", "pending")

    def __init__(self, mu: float, beta: float, every: int, denoiser: Denoiser) -> None:
        self.mu = number("regularizer.red.mu", mu, 0, above=True)
        self.beta = number("regularizer.red.beta", beta, 0)
        self.every = integer("regularizer.red.every", every, 1)
        self.denoiser = denoiser
        self._one_at_a_time = threading.Lock()
        self._result: Future | None = None

    def setup(self, problem: Any, seed: int) -> None:
        observed = problem.observed()
        if len(observed) > 1:
            raise ValueError("regularizer=red works for single pictures only: use video=per_frame")
        self.v = observed.float().clone().clamp_(0, 1)
        self.u, self.denoised = torch.zeros_like(self.v), self.v.clone()
        self.pending, self._result = self.v.cpu().clone(), None

    def __call__(self, image: Tensor, frames: slice = ALL) -> Tensor:
        """Image (1, C, H, W) -> 0-d float32."""
        if self.v.device != image.device:
            self.v, self.u, self.denoised = (x.to(image.device) for x in (self.v, self.u, self.denoised))
        if self._result is None:
            self._result = self._start()
        return self.mu * (image.float() - self.v + self.u).square().mean()

    @torch.no_grad()
    def after_step(self, image: Tensor, iteration: int) -> None:
        if iteration % self.every == 0:
            self.denoised.copy_(_image(self._result.result(), self.v.shape))
            self.pending = self.v.to("cpu", copy=True)
            self._result = self._start()
        self.u.add_(image)
        torch.lerp(self.u, self.denoised, self.beta / (self.beta + self.mu), out=self.v).clamp_(0, 1)
        self.u.sub_(self.v)

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """Continue from a state: drop the denoising in progress; that of the state will start again."""
        self._result = None
        super().load_state_dict(state)

    def _start(self) -> Future:
        """Denoise a copy of `pending` in a thread that ends with the program, whatever it is doing."""
        future: Future = Future()
        array = _array(self.pending)

        def work() -> None:
            try:
                with self._one_at_a_time:  # after a roll-back the dropped denoising may still be running
                    future.set_result(self.denoiser(array))
            except BaseException as error:
                future.set_exception(error)

        # Not an executor: the interpreter would wait for its work at exit.
        threading.Thread(target=work, name="denoiser", daemon=True).start()
        return future


def _array(image: Tensor) -> np.ndarray:
    """A copy of (1, C, H, W) as an array (H, W, C)."""
    return image[0].permute(1, 2, 0).cpu().numpy().copy()


def _image(array: np.ndarray, shape: torch.Size) -> Tensor:
    """(H, W, C) as a tensor of `shape`, (1, C, H, W)."""
    array = np.asarray(array, dtype=np.float32)
    if array.shape != (*shape[2:], shape[1]):
        raise ValueError(f"regularizer.red.denoiser gave an array {array.shape}, not {(*shape[2:], shape[1])}")
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None]
