"""Deep Decoder, https://arxiv.org/abs/1810.03982: an underparametrised generator without spatial convolutions."""

from torch import Tensor, nn

from dip_lab.checks import integer, one_of
from dip_lab.nets.blocks import ACTIVATIONS, NORMS, UPSAMPLINGS, ToImage
from dip_lab.nets.convolution import Conv


class DeepDecoder(nn.Module):
    """Layers of 1x1 convolution, x2 upsampling, activation, norm; the last layer does not enlarge.

    Only the upsampling mixes neighbouring pixels. The convolution comes before it, as published: the two commute,
    and before the upsampling it costs a quarter. `upscale` is the size of the image divided by that of the latent.

    Raises:
        ValueError: a value is out of its range.

    >>> import torch
    >>> DeepDecoder(4, 3, 8, 3, "bilinear", "batch", "relu")(torch.zeros(1, 4, 2, 3)).shape
    torch.Size([1, 3, 8, 12])
    """

    latents = ("coarse",)

    def __init__(
        self, in_channels: int, out_channels: int, width: int, layers: int, upsample: str, norm: str, activation: str
    ):
        super().__init__()
        self.to_image = ToImage()
        width = integer("net.width", width, 1)
        layers = integer("net.layers", layers, 2, 12)
        upsample = one_of("net.upsample", upsample, UPSAMPLINGS)
        norm = one_of("net.norm", norm, NORMS)
        activation = one_of("net.activation", activation, ACTIVATIONS)
        self.stride = self.upscale = 2 ** (layers - 1)
        self.min_size = 2 * self.stride  # a latent of 1 px could only become a flat picture

        def layer(inputs: int, enlarge: bool) -> list[nn.Module]:
            up = [nn.Upsample(scale_factor=2, mode=upsample)] if enlarge else []
            conv = Conv(inputs, width, 1, bias=False)
            return [conv, *up, ACTIVATIONS[activation](), NORMS[norm](width)]

        self.layers = nn.Sequential(
            *layer(in_channels, True), *(part for i in range(1, layers) for part in layer(width, i < layers - 1))
        )
        self.head = Conv(width, out_channels, 1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """(N, in_channels, h, w) to (N, out_channels, upscale h, upscale w)."""
        return self.to_image(self.head(self.layers(z)))
