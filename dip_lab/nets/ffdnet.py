"""FFDNet, https://arxiv.org/abs/1710.04026, as a generator and as a restorer."""

import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, NORMS, PADDINGS, ToImage, norm_act
from dip_lab.nets.convolution import Conv


class FFDNet(nn.Module):
    """A plain stack of 3x3 convolutions at half size, on four shifted copies of the input; a quarter of DnCNN's cost.

    As a denoiser it is told the noise level by one more plane of its input (`restorer.noise_map`), which is thinned out
    with the picture; the published network enters it once, which is the same for a level that is equal everywhere.

    Raises:
        ValueError: a value is out of its range.

    >>> import torch
    >>> FFDNet(2, 3, 8, 3, True, "none", "relu", "zero")(torch.zeros(1, 2, 6, 4)).shape
    torch.Size([1, 3, 6, 4])
    """

    stride = 2
    min_size = 4  # reflection by 1 px, and the norm of a single pixel is undefined

    def __init__(self, in_channels: int, out_channels: int, width: int, layers: int, bias: bool, norm: str,
                 activation: str, padding: str):
        super().__init__()
        width = integer("net.width", width, 1)
        layers = integer("net.layers", layers, 2)
        norm = one_of("net.norm", norm, NORMS)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        padding = one_of("net.padding", padding, PADDINGS)
        inner = [
            nn.Sequential(Conv(width, width, 3, padding, bias=bias), *norm_act(width, activation, norm))
            for _ in range(layers - 2)
        ]
        self.layers = nn.Sequential(
            Conv(4 * in_channels, width, 3, padding, bias=bias),
            ACTIVATIONS[activation](),
            *inner,
            Conv(width, 4 * out_channels, 3, padding, bias=bias),
        )
        self.to_image = ToImage()

    def forward(self, z: Tensor) -> Tensor:
        return self.to_image(F.pixel_shuffle(self.layers(F.pixel_unshuffle(z, 2)), 2))
