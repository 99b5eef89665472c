"""DnCNN, https://arxiv.org/abs/1608.03981, untrained."""

from torch import Tensor, nn

from dip_lab.checks import flag, integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, NORMS, PADDINGS, ToImage, norm_act
from dip_lab.nets.convolution import Conv


class DnCNN(nn.Module):
    """A plain stack of 3x3 convolutions at full size, with norms after all but the first and the last.

    The published denoiser subtracts its output from its input. In a generator that would copy the latent into the
    picture, so here the output is the image itself. Each pixel sees only `2 layers + 1` px, so the prior is weak at
    large scales.

    Raises:
        ValueError: a value is out of its range.

    >>> import torch
    >>> DnCNN(2, 3, 8, 3, False, "batch", "relu", "zero")(torch.zeros(1, 2, 5, 7)).shape
    torch.Size([1, 3, 5, 7])
    """

    stride = 1
    min_size = 2  # reflection by 1 px, and the norm of a single pixel is undefined

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        layers: int,
        bias: bool,
        norm: str,
        activation: str,
        padding: str,
    ):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        layers = integer("net.layers", layers, 2)
        bias = flag("net.bias", bias)
        norm = one_of("net.norm", norm, NORMS)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        padding = one_of("net.padding", padding, PADDINGS)
        inner = [
            nn.Sequential(Conv(width, width, 3, padding, bias=bias), *norm_act(width, activation, norm))
            for _ in range(layers - 2)
        ]
        self.layers = nn.Sequential(
            Conv(in_channels, width, 3, padding, bias=bias),
            ACTIVATIONS[activation](),
            *inner,
            Conv(width, out_channels, 3, padding, bias=bias),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.to_image(self.layers(z))
