"""Learn to restore degraded pictures."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from dip_lab.problem import Problem
from dip_lab.training.checkpoint import Card, restorer_with


class Restoration:
    """The misfit between what a restorer makes of degraded patches and the clean patches.

    Attributes:
        monitor: the score of the held-out pictures that decides which weights are kept.
        better: whether it should be large (max) or small (min).
        columns: of history.csv.
        degraded: it learns from degraded patches.
        usage: what run.py is given to use what was learnt; {} is the folder of the run, {net} its network.

    Args:
        misfit: of configs/task/misfit, between pictures here.
    """

    monitor, better = "psnr", "max"
    columns = ("psnr", "ssim")
    degraded = True
    usage = "baseline=trained baseline.checkpoint={}"

    def __init__(self, misfit: nn.Module):
        self.misfit = misfit

    def check(self, net: type, operator: type) -> None:
        """Any class of networks, and of operators, will do."""

    def model(self, net: nn.Module, card: Card, precision: str) -> nn.Module:
        """What learns, with the network as its `net`."""
        return restorer_with(net, card, precision)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """0-d, of a batch (inputs, clean patches)."""
        inputs, clean = batch
        return self.misfit(model(inputs), clean, None)

    def scores(self, model: nn.Module, batch: tuple[Tensor, Problem]) -> Mapping[str, float]:
        """Of a held-out picture (inputs, problem)."""
        inputs, problem = batch
        return problem.scores(model(inputs).clamp(0, 1))

    def shown(self, scores: Mapping[str, float]) -> str:
        """The scores in words."""
        return f"held out {scores['psnr']:.2f} dB"

    def example(self, held_out: Sequence[tuple[Tensor, Problem]]) -> tuple[Tensor, Problem]:
        """The held-out picture that is worst to look at."""
        return min(held_out, key=lambda item: item[1].cpu().scores(item[1].observed())["psnr"])

    def panel(self, model: nn.Module, held_out: tuple[Tensor, Problem]) -> list[tuple[str, Tensor]]:
        """A held-out picture degraded, restored and clean, (1, C, H, W) each under its caption."""
        inputs, problem = held_out
        image, pictures = model(inputs).clamp(0, 1).cpu(), problem.pictures()
        before, after = problem.scores(pictures["observed"])["psnr"], problem.scores(image)["psnr"]
        return [(f"{problem.name}: degraded, {before:.2f} dB", pictures["observed"]),
                (f"restored, {after:.2f} dB", image), ("clean", pictures["target"])]
