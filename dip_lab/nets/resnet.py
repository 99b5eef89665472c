"""The residual network of the Deep Image Prior code, after https://arxiv.org/abs/1512.03385."""

from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, PADDINGS, ToImage, norm_act
from dip_lab.nets.convolution import Conv


class ResNet(nn.Module):
    """Residual blocks at full size, no down- or up-sampling: a prior with a small receptive field.

    `padding` is that of the first and the last convolution; the inner ones pad with zeros, as published.

    Raises:
        ValueError: a value is out of its range.

    >>> import torch
    >>> ResNet(1, 3, 8, 1, "reflection", "leaky_relu")(torch.zeros(1, 1, 5, 7)).shape
    torch.Size([1, 3, 5, 7])
    """

    stride = 1
    min_size = 2  # reflection by 1 px, and the batch-norm of a single pixel is undefined

    def __init__(self, in_channels: int, out_channels: int, width: int, blocks: int, padding: str, activation: str):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        padding = one_of("net.padding", padding, PADDINGS)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        self.start = nn.Sequential(Conv(in_channels, width, 3, padding), ACTIVATIONS[activation]())
        self.blocks = nn.ModuleList(
            nn.Sequential(
                Conv(width, width, 3, "zero", bias=False),
                *norm_act(width, activation),
                Conv(width, width, 3, "zero", bias=False),
                nn.BatchNorm2d(width),
            )
            for _ in range(integer("net.blocks", blocks, 1))
        )
        self.end = nn.Sequential(
            Conv(width, width, 3, "zero"), nn.BatchNorm2d(width), Conv(width, out_channels, 3, padding)
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.start(z)
        for block in self.blocks:
            x = x + block(x)
        return self.to_image(self.end(x))
