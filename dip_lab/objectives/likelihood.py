"""Learn the density of clean pictures."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from dip_lab.checks import flag
from dip_lab.nets.logistic_mixture import LEVELS, bits_per_dim
from dip_lab.training.checkpoint import Card
from dip_lab.training.density import Density, check


class Likelihood:
    """The bits that each value of a clean picture takes, given those before it: -log2 p(picture) / (C H W).

    Attributes: as those of `Restoration`.

    Args:
        degraded: false; in the YAML, where it tells that the task does not matter.

    Raises:
        ValueError: `degraded` is true.
    """

    monitor, better = "bits_per_dim", "min"
    columns = ("bits_per_dim",)
    usage = "baseline=pixelcnn_map baseline.checkpoint={}"

    def __init__(self, degraded: bool):
        self.degraded = flag("objective.degraded", degraded)
        if degraded:
            raise ValueError("objective.degraded=true: a density is learnt from clean pictures: leave it false, or "
                             "give objective=restoration")

    def check(self, net: type, operator: type) -> None:
        """Raises ValueError for a class of networks that are no densities."""
        check(net)

    def model(self, net: nn.Module, card: Card, precision: str) -> nn.Module:
        """What learns, with the network as its `net`."""
        return Density(net, card.channels, precision)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """0-d, of a batch (clean patches, the same)."""
        return bits_per_dim(model(batch[1]))

    def scores(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, float]:
        """Of a held-out picture (clean, the same)."""
        return {"bits_per_dim": float(self.loss(model, batch))}

    def shown(self, scores: Mapping[str, float]) -> str:
        """The scores in words."""
        return f"held out {scores['bits_per_dim']:.3f} bits per value"

    def example(self, held_out: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The first held-out picture."""
        return held_out[0]

    def panel(self, model: nn.Module, held_out: tuple[Tensor, Tensor]) -> list[tuple[str, Tensor]]:
        """A held-out picture, and how surprising each of its pixels is, each under its caption."""
        image, nats = held_out[1], model(held_out[0]).cpu()
        bits = (-nats / math.log(LEVELS)).mean(1, keepdim=True).clamp(0, 1)  # of the 8 that a coder without it takes
        return [("held out", image), (f"bits of each value: white 8 or more, mean {bits_per_dim(nats):.2f}", bits)]
