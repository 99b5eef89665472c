"""What a training minimises, and how held-out pictures are judged: `objective=`."""

from collections.abc import Mapping

from torch import Tensor, nn

from dip_lab.problem import Problem
from dip_lab.training.restorer import Restorer


class Restoration:
    """The misfit between what a restorer makes of degraded patches and the clean patches.

    Attributes:
        monitor: the score of the held-out pictures that decides which weights are kept.
        better: whether it should be large (max) or small (min).
        columns: of history.csv.

    Args:
        misfit: of configs/task/misfit, between pictures here.
    """

    monitor, better = "psnr", "max"
    columns = ("psnr", "ssim")

    def __init__(self, misfit: nn.Module):
        self.misfit = misfit

    def model(self, net: nn.Module, channels: int, residual: bool, precision: str, clipped: bool) -> nn.Module:
        """What learns, with the network as its `net`."""
        return Restorer(net, channels, residual, precision, clipped)

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
