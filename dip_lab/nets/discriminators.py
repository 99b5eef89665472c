"""What tells real patches from made ones in adversarial training; no option of configs/net."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dip_lab.checks import integer

WIDEST = 4  # times the width


class PatchGAN(nn.Module):
    """How real each part of a picture looks: 4x4 convolutions of stride 2, then one score for each place.

    The patches overlap: with four layers each score sees 78 px. Spectral norms (https://arxiv.org/abs/1802.05957)
    bound the slope of each layer. PatchGAN is that of https://arxiv.org/abs/1611.07004.

    Args:
        in_channels: planes of the picture and of what is known about it.
        width: channels of the first layer, which double up to four times as many.
        layers: how often the size is halved.

    Raises:
        ValueError: a value is out of its range.

    >>> import torch
    >>> PatchGAN(3, 4, 2)(torch.zeros(2, 3, 16, 24)).shape
    torch.Size([2, 1, 4, 6])
    """

    def __init__(self, in_channels: int, width: int, layers: int):
        super().__init__()
        w = integer("objective.discriminator.width", width, 1)
        count = integer("objective.discriminator.layers", layers, 1, 8)
        widths = [in_channels, *(w * min(WIDEST, 2**layer) for layer in range(count))]
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, 2, 1))
                                    for a, b in zip(widths, widths[1:], strict=False))
        self.head = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, 1, h, w), each side halved `layers` times: positive where it looks real."""
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return self.head(x)
