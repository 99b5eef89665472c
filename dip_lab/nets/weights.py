"""The weights that a fit starts with: drawn by a rule, or taken from an earlier fit."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dip_lab.checks import one_of
from dip_lab.runs.files import write_atomic
from dip_lab.runs.folder import WEIGHTS

RULES: Mapping[str, Callable[[Tensor], Tensor] | None] = {
    "default": None,
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0.2),  # the slope of the networks' leaky ReLU
    "orthogonal": nn.init.orthogonal_,
}


def initialise(net: nn.Module, rule: str) -> None:
    """Draw new weights for all convolutions and linear layers and zero their biases; "default" changes nothing.

    Kaiming, https://arxiv.org/abs/1502.01852; orthogonal, https://arxiv.org/abs/1312.6120

    Raises:
        ValueError: there is no such rule.
    """
    draw = RULES[one_of("generator.init", rule, RULES)]
    for layer in net.modules() if draw else ():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) and isinstance(layer.weight, nn.Parameter):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def save_weights(net: nn.Module, folder: Path) -> None:
    """Write `checkpoints/weights.pt` into a run's folder: the network as its last iteration left it."""
    buffer = io.BytesIO()
    torch.save({key: value.cpu() for key, value in net.state_dict().items()}, buffer)
    write_atomic(folder / WEIGHTS, buffer.getvalue())


def load_weights(net: nn.Module, folder: Path) -> None:
    """Load the weights and batch-norm statistics of a network that another run has fitted.

    Raises:
        ValueError: the folder has no weights, or those of another network.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise ValueError(f"generator.init_from={folder}: has no {WEIGHTS}; give the folder of a run that has ended")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file: the reader may raise anything
        raise ValueError(f"{path}: cannot be read: {' '.join(str(error).split())[:100]}") from error
    own = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    theirs = {key: tuple(value.shape) for key, value in weights.items()}
    for key in own | theirs:
        if own.get(key) != theirs.get(key):
            raise ValueError(
                f"generator.init_from={folder}: fitted another network: {key} is {theirs.get(key, 'absent')} there and "
                f"{own.get(key, 'absent')} here; give the same net and values, latent depth and colours"
            )
    net.load_state_dict(weights)
