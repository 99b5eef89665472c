"""FFDNet, https://arxiv.org/abs/1710.04026, as a generator and as a restorer."""

import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.nets.blocks import ToImage
from dip_lab.nets.dncnn import DnCNN


class FFDNet(nn.Module):
    """DnCNN's stack of 3x3 convolutions at half size, on four shifted copies of the input: a quarter of the cost.

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
        self.layers = DnCNN(4 * in_channels, 4 * out_channels, width, layers, bias, norm, activation, padding).layers
        self.to_image = ToImage()

    def forward(self, z: Tensor) -> Tensor:
        return self.to_image(F.pixel_shuffle(self.layers(F.pixel_unshuffle(z, 2)), 2))
