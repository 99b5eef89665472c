"""Which parameters move at an iteration: a pure function of its number, so that a resumed fit continues it."""

from torch import nn

from dip_lab.checks import integer


class All:
    """The weights, and the latent where it is learned, move from the first iteration on."""

    def check(self, net: nn.Module, latent: nn.Module) -> None:
        """Any network and latent will do."""

    def __call__(self, net: nn.Module, iteration: int) -> None:
        """Before the step of an iteration, counted from 1."""


class LatentFirst(All):
    """The latent alone, then the network's layers too, those nearest to the latent first.

    A search in what a trained generator can make, mGANprior (https://arxiv.org/abs/1912.07116), and then Deep
    Generative Prior's fine-tuning from shallow to deep (https://arxiv.org/abs/2003.13659), in small. A layer that does
    not move has no gradients either. The order of layers is that in which the network defines them.

    Args:
        latent_alone: iterations without any of the weights.
        parts: groups of layers that begin to move one after the other; 1: all at once.
        every: iterations from one group to the next.

    Raises:
        ValueError: a value is no whole number, or too small.
    """

    def __init__(self, latent_alone: int, parts: int, every: int):
        self.latent_alone = integer("descent.stages.latent_alone", latent_alone, 1)
        self.parts = integer("descent.stages.parts", parts, 1)
        self.every = integer("descent.stages.every", every, 1)

    def check(self, net: nn.Module, latent: nn.Module) -> None:
        """Raises ValueError where the latent does not move: nothing would."""
        if not list(latent.parameters()):
            raise ValueError("descent/stages=latent_first: the latent of this fit is not learned, so nothing would "
                             "move at first: give latent=learned, or descent/stages=all")

    def moving(self, layers: int, iteration: int) -> int:
        """How many of the layers move."""
        if iteration <= self.latent_alone:
            return 0
        begun = min(self.parts, 1 + (iteration - self.latent_alone - 1) // self.every)
        return round(layers * begun / self.parts)

    def __call__(self, net: nn.Module, iteration: int) -> None:
        """Before the step of an iteration, counted from 1."""
        layers = [layer for layer in net.modules() if any(True for _ in layer.parameters(recurse=False))]
        count = self.moving(len(layers), iteration)
        for number, layer in enumerate(layers):
            for weight in layer.parameters(recurse=False):
                weight.requires_grad_(number < count)
