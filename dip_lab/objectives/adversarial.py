"""Learn to fill holes: near the truth, and such that a discriminator takes the result for real."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dip_lab.checks import number
from dip_lab.metrics import psnr
from dip_lab.objectives.critic import Critic
from dip_lab.problem import Problem
from dip_lab.training.checkpoint import Card, restorer_with
from dip_lab.training.restorer import with_known


class Adversarial:
    """hole * |x - y| inside the holes, rest * |x - y| elsewhere, and adversarial * -D(filled), means over all values.

    The discriminator D sees the picture with its holes filled, and where they were. Generative inpainting with gated
    convolutions and its SN-PatchGAN, https://arxiv.org/abs/1806.03589.

    Attributes:
        monitor: as those of `Restoration`; the weights that are kept have the best PSNR in the holes.
        critic: the discriminator, made with the model.

    Args:
        hole: weight of the absolute error in the holes.
        rest: of that elsewhere.
        adversarial: of the discriminator's score.
        discriminator: its `width` and `layers`.
        optimizer: makes the discriminator's own optimiser.
        seed: of the discriminator's weights.

    Raises:
        ValueError: a weight is negative.
    """

    monitor, better = "psnr_hole", "max"
    columns = ("psnr_hole", "psnr", "ssim", "hinge")
    degraded = True
    usage = "task=inpaint baseline=trained baseline.checkpoint={}"

    def __init__(self, hole: float, rest: float, adversarial: float, discriminator: Mapping[str, Any],
                 optimizer: Callable[..., Optimizer], seed: int):
        self.hole, self.rest = number("objective.hole", hole, 0), number("objective.rest", rest, 0)
        self.adversarial = number("objective.adversarial", adversarial, 0)
        self.discriminator, self.optimizer, self.seed = dict(discriminator), optimizer, seed
        self.critic: Critic | None = None

    def check(self, net: type, operator: type) -> None:
        """Raises ValueError for a task without holes."""
        if operator.task != "inpaint":
            raise ValueError(f"objective=adversarial: fills holes, and task={operator.task} leaves none: give "
                             "task=inpaint, or objective=restoration")

    def model(self, net: nn.Module, card: Card, precision: str) -> nn.Module:
        """What learns, with the network as its `net`."""
        self.critic = Critic(card.channels + 1, self.discriminator, self.optimizer, self.seed)
        return restorer_with(net, card, precision)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """0-d, of a batch (inputs, clean patches), after a step of the discriminator."""
        inputs, clean = batch
        made, known = model(inputs), inputs[:, -1:]
        filled = with_known(made, clean, known)
        error = ((made - clean).abs() * (self.hole + (self.rest - self.hole) * known)).mean()
        if self.adversarial == 0:
            return error
        self.critic.learn(judged(clean, known), judged(filled, known))
        return error + self.adversarial * self.critic(judged(filled, known))

    def scores(self, model: nn.Module, batch: tuple[Tensor, Problem]) -> Mapping[str, float]:
        """Of a held-out picture (inputs, problem), what is known put back; and the discriminator's hinge loss."""
        inputs, problem = batch
        image = self._filled(model, inputs)
        hinge = self.critic.hinge(*(judged(each, inputs[:, -1:]) for each in (problem.target, image)))
        return {**problem.scores(image), "hinge": float(hinge)}

    def shown(self, scores: Mapping[str, float]) -> str:
        """The scores in words."""
        return f"held out {scores['psnr_hole']:.2f} dB in the holes, hinge {scores['hinge']:.2f}"

    def example(self, held_out: Sequence[tuple[Tensor, Problem]]) -> tuple[Tensor, Problem]:
        """The held-out picture with the largest holes."""
        return min(held_out, key=lambda item: float(item[0][:, -1:].mean()))

    def panel(self, model: nn.Module, held_out: tuple[Tensor, Problem]) -> list[tuple[str, Tensor]]:
        """A held-out picture with holes, filled and clean, (1, C, H, W) each under its caption."""
        inputs, problem = held_out
        image, pictures = self._filled(model, inputs).cpu(), problem.pictures()
        inside = float(psnr(image, pictures["target"], where=problem.operator.hole))
        return [(f"{problem.name}", pictures["observed"]), (f"filled, {inside:.2f} dB in the holes", image),
                ("clean", pictures["target"])]

    def _filled(self, model: nn.Module, inputs: Tensor) -> Tensor:
        return with_known(model(inputs).clamp(0, 1), inputs[:, :model.channels], inputs[:, -1:])


def judged(picture: Tensor, known: Tensor) -> Tensor:
    """What the discriminator sees: the picture in [-1, 1], and 1 where it is known; (N, C + 1, H, W)."""
    return torch.cat((2 * picture - 1, known), 1)
