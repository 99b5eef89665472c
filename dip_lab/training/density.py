"""A network as a density of pictures: each value given those before it."""

import torch
from torch import Tensor, nn

from dip_lab.nets.logistic_mixture import KINDS, log_prob
from dip_lab.nets.pixelcnn import wide
from dip_lab.precision import autocast_dtype


def check(net: type) -> None:
    """Refuse a class of networks that are no densities.

    Raises:
        ValueError: it has no logits.
    """
    if not hasattr(net, "logits"):
        raise ValueError(f"objective=likelihood: {net.__name__} is no density, it sees the value that it predicts: "
                         "give net=pixelcnn")


class Density(nn.Module):
    """Log-probability of 8-bit pictures, differentiable in the weights and in the picture.

    Each channel has a mixture of logistics (https://arxiv.org/abs/1701.05517) of its own, made from what comes before:
    rows above, pixels to the left and, by the network's masks, lower channels of the same pixel.

    Args:
        net: a PixelCNN with as many inputs as outputs, whose `levels` are the numbers of a mixture.
        channels: of the pictures, 1 or 3.
        precision: auto, bf16 or float32: arithmetic inside the network.

    Raises:
        ValueError: the network is no PixelCNN, or its `levels` are not three numbers for each logistic.
    """

    def __init__(self, net: nn.Module, channels: int, precision: str = "float32"):
        super().__init__()
        check(type(net))
        if net.levels % KINDS:
            raise ValueError(f"net.levels={net.levels}: with objective=likelihood each logistic of a mixture takes "
                             f"{KINDS} of them: give a multiple of {KINDS}, such as net.levels=30")
        self.net, self.channels, self.precision = net, channels, precision

    @property
    def reach(self) -> int:
        """How many px above, to the left and to the right a value depends on."""
        return self.net.reach

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) in [0, 1] -> nats of each value given those before it, of the same shape, float32."""
        dtype = autocast_dtype(self.precision, image.device.type)
        with torch.autocast(image.device.type, dtype=dtype, enabled=dtype is not None):
            mixtures = list(self.net.logits(2 * image - 1))  # without norms, the network needs an input around zero
        return torch.stack([log_prob(values, wide(parameters))
                            for values, parameters in zip(image.unbind(1), mixtures, strict=True)], 1)
