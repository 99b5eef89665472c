"""Learn to make pictures out of nothing: a generator against a discriminator."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from dip_lab.checks import flag, integer
from dip_lab.objectives.critic import Critic
from dip_lab.randomness import generator_of
from dip_lab.training.checkpoint import Card
from dip_lab.training.sampler import Sampler, check

NEAR = 7  # px, side of the pieces that are compared
PIECES = 8192  # of them, on each side
DIRECTIONS = 64
SHOWN = 5  # pictures a side of the grids
LARGE = 256  # px
VARIED = 4  # 1 / the standard deviation of photos, about


class Generative:
    """-D(G(z)) for random latents z, after a step of the discriminator D on patches and on what G makes.

    Hinge loss and spectral norms, https://arxiv.org/abs/1802.05957. There is no truth that a sample could be compared
    with. The weights that are kept have the smallest `swd`: how far small pieces of samples are, as a whole, from those
    of held-out pictures (`sliced_distance`). That sees colours and textures; whether a sample means anything it cannot
    tell.

    Attributes: as those of `Adversarial`.
        depth: channels of a latent.

    Args:
        degraded: false; in the YAML, where it tells that the task does not matter.
        depth: as above.
        discriminator: its `width` and `layers`.
        optimizer: makes the discriminator's own optimiser.
        seed: of the discriminator's weights, of all latents and of what `swd` compares.

    Raises:
        ValueError: `degraded` is true, or `depth` is below 1.
    """

    monitor, better = "swd", "min"
    columns = ("swd", "hinge")
    usage = ("task=inpaint net={net} latent=learned latent@latent.start=coarse_normal descent/stages=latent_first "
             "generator.init_from={}")

    def __init__(self, degraded: bool, depth: int, discriminator: Mapping[str, Any],
                 optimizer: Callable[..., Optimizer], seed: int):
        self.degraded = flag("objective.degraded", degraded)
        if degraded:
            raise ValueError("objective.degraded=true: a generator learns from clean pictures: leave it false, or give "
                             "objective=adversarial")
        self.depth = integer("objective.depth", depth, 1)
        self.discriminator, self.optimizer, self.seed = dict(discriminator), optimizer, seed
        self.critic: Critic | None = None
        self.patch = 0

    def check(self, net: type, operator: type) -> None:
        """Raises ValueError for a class of networks that take no small latent."""
        check(net)

    def model(self, net: nn.Module, card: Card, precision: str) -> nn.Module:
        """What learns, with the network as its `net`."""
        self.critic = Critic(card.channels + 1, self.discriminator, self.optimizer, self.seed)
        return Sampler(net, self.depth, precision)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """0-d, of a batch (clean patches, the same)."""
        real = batch[1]
        count, _, height, width = real.shape
        z = model.latents(count, height, width, self.seed, "latents of a step", self.critic.steps)
        made = model(z.to(real.device))[..., :height, :width]
        self.critic.learn(judged(real), judged(made))
        self.patch = height
        return self.critic(judged(made))

    def scores(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """Of a held-out picture (clean, the same): its patches, which `pooled` compares."""
        return {"real": patches_of(batch[1], self.patch)}

    def pooled(self, model: nn.Module, rows: Sequence[Mapping[str, Tensor]]) -> Mapping[str, float]:
        """Of all held-out pictures together, beside as many samples, always of the same latents."""
        real = torch.cat([row["real"] for row in rows])
        made = model.drawn(len(real), self.patch, self.patch, self.seed, "held out")
        hinge = self.critic.hinge(judged(real), judged(made))
        return {"swd": float(sliced_distance(real, made, self.seed)), "hinge": float(hinge)}

    def shown(self, scores: Mapping[str, float]) -> str:
        """The scores in words."""
        return f"pieces of samples are {scores['swd']:.2f} of 255 from held-out ones, hinge {scores['hinge']:.2f}"

    def example(self, held_out: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Patches of all held-out pictures."""
        parts = [patches_of(item[1], self.patch) for item in held_out]
        few = torch.cat([part[:math.ceil(SHOWN**2 / len(parts))] for part in parts])
        return few, few

    def panel(self, model: nn.Module, held_out: tuple[Tensor, Tensor]) -> list[tuple[str, Tensor]]:
        """Samples, always of the same latents; a large one; and real patches: each under its caption."""
        real = held_out[1]
        made = model.drawn(SHOWN**2, self.patch, self.patch, self.seed, "shown").cpu()
        large = model.drawn(1, LARGE, LARGE, self.seed, "large").cpu()
        return [("samples", grid(made)), (f"a sample of {LARGE} px", large), ("held out", grid(real.cpu()))]


def judged(pictures: Tensor) -> Tensor:
    """What the discriminator sees: pictures in [-1, 1], and how much those of the batch differ; (N, C + 1, H, W).

    Without the last plane, as in https://arxiv.org/abs/1710.10196 but of the pixels, all samples soon have one colour.
    """
    spread = (VARIED * pictures.std(0, correction=0).mean() - 1).expand(len(pictures), 1, *pictures.shape[-2:])
    return torch.cat((2 * pictures - 1, spread), 1)


def patches_of(picture: Tensor, side: int) -> Tensor:
    """(1, C, H, W) -> (n, C, side, side), side by side."""
    rows = picture[0].unfold(1, side, side).unfold(2, side, side)
    return rows.permute(1, 2, 0, 3, 4).flatten(0, 1)


def grid(pictures: Tensor) -> Tensor:
    """The first SHOWN x SHOWN pictures (N, C, h, w) as one, (1, C, H, W), with white lines between."""
    missing = max(0, SHOWN**2 - len(pictures))
    padded = F.pad(pictures[:SHOWN**2], (1, 1, 1, 1, 0, 0, 0, missing), value=1.0)
    _, channels, height, width = padded.shape
    rows = padded.reshape(SHOWN, SHOWN, channels, height, width).permute(2, 0, 3, 1, 4)
    return rows.reshape(1, channels, SHOWN * height, SHOWN * width)


def sliced_distance(real: Tensor, made: Tensor, seed: int) -> Tensor:
    """How far pieces of 7 x 7 px of two stacks of pictures (N, C, H, W) are from each other, in 8-bit units; 0-d.

    The sliced Wasserstein distance, as in https://arxiv.org/abs/1710.10196 but at full size only and without their
    normalisation: the mean absolute difference of sorted projections to random directions of length 1.
    """
    generator = generator_of(seed, "sliced distance")
    places = torch.rand(2, PIECES, 3, generator=generator)
    directions = torch.randn(real.shape[1] * NEAR**2, DIRECTIONS, generator=generator)
    directions = directions / directions.norm(dim=0)
    projected = [(_pieces(stack.cpu(), where) @ directions).sort(0).values
                 for stack, where in zip((real, made), places, strict=True)]
    return 255 * (projected[0] - projected[1]).abs().mean()


def _pieces(pictures: Tensor, places: Tensor) -> Tensor:
    """Pieces (n, C * 7 * 7) at `places` (n, 3), which are picture, row and column in [0, 1)."""
    spans = torch.tensor([len(pictures), pictures.shape[-2] - NEAR + 1, pictures.shape[-1] - NEAR + 1])
    which, rows, columns = (places * spans).long().unbind(1)
    near = torch.arange(NEAR)
    return pictures[which[:, None, None], :, (rows[:, None] + near)[:, :, None],
                    (columns[:, None] + near)[:, None, :]].flatten(1)
