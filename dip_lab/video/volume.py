"""Turns a network of two-dimensional convolutions into one that convolves over time too."""

import torch
from torch import Tensor, nn

from dip_lab.nets.convolution import Conv


def over_time(net: nn.Module) -> None:
    """Extend each convolution of a network to 3 frames, in place: a k x k kernel becomes 3 x k x k.

    The frames `(T, C, H, W)` of a clip are the network's batch. A three-dimensional convolution is computed as a
    two-dimensional one over a frame and its two neighbours, joined along the channels; beyond the ends of the clip its
    last frame is repeated. Batch norm over the batch is then the batch norm of a volume. 1 x 1 and grouped convolutions
    stay as they are. The extended convolutions get new weights.

    Raises:
        ValueError: the network has no convolution to extend.
    """
    found = [layer for layer in net.modules()
             if type(layer) in (nn.Conv2d, Conv) and max(layer.kernel_size) > 1 and layer.groups == 1]
    if not found:
        raise ValueError(f"video.kernel=3: {type(net).__name__} has no convolution to extend to 3 frames: "
                         "use video=shared")
    for layer in found:
        layer.in_channels *= 3
        layer.weight = nn.Parameter(layer.weight.new_empty(layer.out_channels, layer.in_channels, *layer.kernel_size))
        layer.reset_parameters()
        layer.register_forward_pre_hook(_with_neighbours)


def _with_neighbours(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    frames = inputs[0]
    before, after = torch.cat((frames[:1], frames[:-1])), torch.cat((frames[1:], frames[-1:]))
    return torch.cat((before, frames, after), 1)
