"""A latent that is fitted together with the weights."""

import torch
from torch import Tensor, nn

from dip_lab.checks import number
from dip_lab.latents.latent import Latent, Pictured, draw_


class Learned(Latent):
    """z starts as any other latent and is then optimised itself, with a learning rate of its own.

    Attributes:
        lr: z's learning rate; the optimiser uses it for z in place of its own.

    Raises:
        ValueError: `lr` is not a positive number.
    """

    def __init__(self, start: Latent, lr: float) -> None:
        super().__init__(start.depth, start.jitter)
        self.lr = number("latent.lr", lr, 0, above=True)
        self.start, self.ramp = start, start.ramp
        self.kind = start.kind
        del self._buffers["z"]  # a parameter from `prepare` on

    def setup(self, problem: Pictured) -> None:
        self.start.setup(problem)
        self.depth = self.start.depth

    def prepare(self, height: int, width: int, seed: int) -> None:
        self._seed, self._jittered = seed, None
        self.start.prepare(height, width, seed)
        self.z = nn.Parameter(self.start.z)
        self.start.z = None

    def forward(self, iteration: int | None) -> Tensor:
        """As in `Latent`, with a gradient to z."""
        if iteration is None or self.jitter == 0:
            return self.z
        with torch.no_grad():
            if self._jittered is None or self._jittered.device != self.z.device:
                self._jittered = torch.empty_like(self.z)
            noise = draw_(self._jittered, self._seed, iteration, self.std(iteration))
        return self.z + noise
