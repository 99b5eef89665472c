"""A perceptron on overlapping patches, https://arxiv.org/abs/1211.1544."""

import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, ToImage, kernel_size


class PatchMLP(nn.Module):
    """Every `step`-th patch goes through one perceptron, which makes a patch; where patches overlap, they are averaged.

    Written as convolutions: a layer of the perceptron is one over whole patches, then 1x1 ones. The published network
    has patches of 17 px, four hidden layers of 2047 values and a step of 3, with patches weighted by a Gaussian window.

    Raises:
        ValueError: a value is out of its range, or the step is larger than a patch.

    >>> import torch
    >>> PatchMLP(2, 3, 5, 8, 1, 2, "relu")(torch.zeros(1, 2, 6, 4)).shape
    torch.Size([1, 3, 6, 4])
    """

    stride = 1
    min_size = 1

    def __init__(self, in_channels: int, out_channels: int, patch: int, width: int, layers: int, step: int,
                 activation: str):
        super().__init__()
        self.patch = kernel_size("net.patch", integer("net.patch", patch, 1))
        width = integer("net.width", width, 1)
        layers = integer("net.layers", layers, 1)
        self.step = integer("net.step", step, 1, self.patch)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        hidden = [nn.Sequential(nn.Conv2d(width, width, 1), ACTIVATIONS[activation]()) for _ in range(layers - 1)]
        self.first = nn.Sequential(nn.Conv2d(in_channels, width, self.patch, self.step), ACTIVATIONS[activation]())
        self.hidden = nn.Sequential(*hidden)
        self.last = nn.ConvTranspose2d(width, out_channels, self.patch, self.step)
        self.to_image = ToImage()

    def forward(self, z: Tensor) -> Tensor:
        height, width = z.shape[-2:]
        before = self.patch - 1  # every pixel is in as many patches as one in the middle
        after = [before + (-side - 2 * before + self.patch) % self.step for side in (height, width)]
        padded = F.pad(z, (before, after[1], before, after[0]), mode="replicate")
        summed = self.last(self.hidden(self.first(padded)))
        counts = F.conv_transpose2d(
            summed.new_ones(1, 1, *((side - self.patch) // self.step + 1 for side in padded.shape[-2:])),
            summed.new_ones(1, 1, self.patch, self.patch), stride=self.step,
        )
        return self.to_image((summed / counts)[..., before:before + height, before:before + width])
