"""What a training minimises, how held-out pictures are judged and shown: `objective=`."""

import math
from collections.abc import Mapping

from torch import Tensor, nn

from dip_lab.checks import flag
from dip_lab.nets.logistic_mixture import LEVELS, bits_per_dim
from dip_lab.problem import Problem
from dip_lab.training.density import Density, check
from dip_lab.training.restorer import Restorer


class Restoration:
    """The misfit between what a restorer makes of degraded patches and the clean patches.

    Attributes:
        monitor: the score of the held-out pictures that decides which weights are kept.
        better: whether it should be large (max) or small (min).
        columns: of history.csv.
        degraded: it learns from degraded patches.
        baseline: the option of configs/baseline that uses what was learnt.

    Args:
        misfit: of configs/task/misfit, between pictures here.
    """

    monitor, better = "psnr", "max"
    columns = ("psnr", "ssim")
    degraded, baseline = True, "trained"

    def __init__(self, misfit: nn.Module):
        self.misfit = misfit

    def check(self, net: type) -> None:
        """Any class of networks will do."""

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

    def panel(self, model: nn.Module, held_out: tuple[Tensor, Problem]) -> list[tuple[str, Tensor]]:
        """A held-out picture degraded, restored and clean, (1, C, H, W) each under its caption."""
        inputs, problem = held_out
        image, pictures = model(inputs).clamp(0, 1).cpu(), problem.pictures()
        before, after = problem.scores(pictures["observed"])["psnr"], problem.scores(image)["psnr"]
        return [(f"{problem.name}: degraded, {before:.2f} dB", pictures["observed"]),
                (f"restored, {after:.2f} dB", image), ("held out", pictures["target"])]


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
    baseline = "pixelcnn_map"

    def __init__(self, degraded: bool):
        self.degraded = flag("objective.degraded", degraded)
        if degraded:
            raise ValueError("objective.degraded=true: a density is learnt from clean pictures: leave it false, or "
                             "give objective=restoration")

    def check(self, net: type) -> None:
        """Raises ValueError for a class of networks that are no densities."""
        check(net)

    def model(self, net: nn.Module, channels: int, residual: bool, precision: str, clipped: bool) -> nn.Module:
        """What learns, with the network as its `net`."""
        return Density(net, channels, precision)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """0-d, of a batch (clean patches, the same)."""
        return bits_per_dim(model(batch[1]))

    def scores(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, float]:
        """Of a held-out picture (clean, the same)."""
        return {"bits_per_dim": float(self.loss(model, batch))}

    def shown(self, scores: Mapping[str, float]) -> str:
        """The scores in words."""
        return f"held out {scores['bits_per_dim']:.3f} bits per value"

    def panel(self, model: nn.Module, held_out: tuple[Tensor, Tensor]) -> list[tuple[str, Tensor]]:
        """A held-out picture, and how surprising each of its pixels is, each under its caption."""
        image, nats = held_out[1], model(held_out[0]).cpu()
        bits = (-nats / math.log(LEVELS)).mean(1, keepdim=True).clamp(0, 1)  # of the 8 that a coder without it takes
        return [("held out", image), (f"bits of each value: white 8 or more, mean {bits_per_dim(nats):.2f}", bits)]
