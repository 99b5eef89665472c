"""Two defaults that torch had in 2017, when the networks of Deep Image Prior were fitted, and has no longer.

Until October 2018 the weights of a batch norm were drawn from U(0, 1) (https://github.com/pytorch/pytorch/pull/12259),
and until 2018 bilinear upsampling aligned the corners of the two maps. Any network takes both: they are set after it is
built, and a network brings in its YAML the values that make sense for it.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dip_lab.checks import flag, one_of

NORM_WEIGHTS = ("ones", "uniform")


def set_norm_weights(net: nn.Module, law: str) -> None:
    """Draw the weights of all batch norms from U(0, 1) if `law` is "uniform"; "ones" is what torch does now.

    Raises:
        ValueError: there is no such law.
    """
    if one_of("net.norm_weight", law, NORM_WEIGHTS) == "ones":
        return
    for layer in net.modules():
        if isinstance(layer, _BatchNorm) and layer.affine:
            nn.init.uniform_(layer.weight)


def set_align_corners(net: nn.Module, value: bool) -> None:
    """Let all bilinear upsamplings of a network align the corner pixels of the small and the large map, or their edges.

    Raises:
        ValueError: the value is not true or false.
    """
    flag("net.align_corners", value)
    for layer in net.modules():
        if isinstance(layer, nn.Upsample) and layer.mode == "bilinear":
            layer.align_corners = value
