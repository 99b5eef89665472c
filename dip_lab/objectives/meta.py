"""Learn weights from which a fit soon reaches a picture."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dip_lab.checks import integer, number
from dip_lab.generator import Generator
from dip_lab.latents.latent import Latent
from dip_lab.problem import Problem
from dip_lab.randomness import seed_of
from dip_lab.training.checkpoint import Card

SIDE = 128  # px of the middle of a held-out picture that is fitted
AT_ONCE = {"factor": 1, "iterations": 0}  # every image is made at its full size


class Meta:
    """Half the squared distance of the weights to what a few iterations of Deep Image Prior make of them.

    Its gradient is the step of Reptile (https://arxiv.org/abs/1803.02999): weights move towards those that were fitted
    to the patches of the step, each by itself from the same start with a latent of its own, so that later fits start
    near. After MetaDIP, https://arxiv.org/abs/2209.08452, for any task and latent that does not see the picture.

    Attributes: as those of `Restoration`; scores are those after a fit of as many iterations.
        depth: channels of the latent.
        fits: it is given problems.

    Args:
        latent: of the fits.
        steps: iterations of each fit.
        lr: of the Adam of each fit.
        precision: of the network's inner arithmetic.
        seed: of the latents, together with the observation.

    Raises:
        ValueError: a value is out of its range.
    """

    monitor, better = "psnr", "max"
    columns = ("psnr", "ssim")
    degraded = fits = True
    usage = "net={net} generator.init_from={}"

    def __init__(self, latent: Latent, steps: int, lr: float, precision: str, seed: int):
        self.latent, self.depth, self.seed, self.precision = latent, latent.depth, seed, precision
        self.steps = integer("objective.steps", steps, 1)
        self.lr = number("objective.lr", lr, 0, above=True)

    def check(self, net: type, operator: type) -> None:
        """Any class of networks will do, and any task."""

    def model(self, net: nn.Module, card: Card, precision: str) -> nn.Module:
        """What learns, with the network as its `net`."""
        return nn.ModuleDict({"net": net})

    def loss(self, model: nn.Module, batch: tuple[Problem, Tensor]) -> Tensor:
        """0-d, of a batch (problem of several patches, clean patches)."""
        problem = batch[0]
        parts = [problem.part(slice(index, index + 1)) for index in range(len(problem.observation))]
        ends = [list(self.fitted(model["net"], part).net.parameters()) for part in parts]
        return sum((mine - sum(theirs) / len(parts)).square().sum() / 2
                   for mine, *theirs in zip(model["net"].parameters(), *map(_detached, ends), strict=True))

    def fitted(self, net: nn.Module, problem: Problem) -> Generator:
        """A generator whose network is a copy of `net`, fitted to a problem of one picture."""
        seed = seed_of(self.seed, problem.digest())
        latent = copy.deepcopy(self.latent)
        with torch.inference_mode(False), torch.enable_grad():
            latent.setup(problem)
            generator = Generator(copy.deepcopy(net), latent, tuple(problem.image_shape[-2:]), self.precision, seed,
                                  AT_ONCE).to(problem.observation.device).train()
            optimizer = torch.optim.Adam(generator.net.parameters(), self.lr)
            for iteration in range(1, self.steps + 1):
                optimizer.zero_grad()
                problem.misfit(generator(iteration)).backward()
                optimizer.step()
        return generator

    def scores(self, model: nn.Module, batch: tuple[Problem, Problem]) -> Mapping[str, float]:
        """Of a held-out picture (problem, the same): of its middle, after a fit."""
        problem = _middle(batch[1])
        with torch.no_grad():
            return problem.scores(self.fitted(model["net"], problem)(None).clamp(0, 1).cpu())

    def shown(self, scores: Mapping[str, float]) -> str:
        """The scores in words."""
        return f"held out {scores['psnr']:.2f} dB after {self.steps} iterations"

    def example(self, held_out: Sequence[tuple[Problem, Problem]]) -> tuple[Problem, Problem]:
        """The first held-out picture."""
        return held_out[0]

    def panel(self, model: nn.Module, held_out: tuple[Problem, Problem]) -> list[tuple[str, Tensor]]:
        """The middle of a held-out picture degraded, after a fit, and clean, (1, C, H, W) each under its caption."""
        problem = _middle(held_out[1])
        image = self.fitted(model["net"].cpu(), problem)(None).clamp(0, 1)
        pictures = problem.pictures()
        return [(problem.name, pictures["observed"]),
                (f"after {self.steps} iterations, {problem.scores(image)['psnr']:.2f} dB", image),
                ("clean", pictures["target"])]


def _detached(weights: Sequence[Tensor]) -> list[Tensor]:
    return [weight.detach() for weight in weights]


def _middle(problem: Problem) -> Problem:
    """The problem of the middle of a picture; of the whole where the operator cannot be cut."""
    windows = []
    for side in problem.image_shape[-2:]:
        start = max(0, side - SIDE) // 2
        windows.append(slice(start, start + min(side, SIDE)))
    try:
        return problem.part(slice(0, 1), *windows)
    except ValueError:
        return problem
