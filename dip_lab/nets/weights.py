"""The weights that a fit starts with: drawn by a rule, or taken from an earlier fit."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dip_lab.checks import one_of
from dip_lab.runs.folder import WEIGHTS
from dip_lab.runs.proved import Unproved, prove, write_proved

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
    weights = {key: value.cpu() for key, value in net.state_dict().items()}
    write_proved(folder / WEIGHTS, lambda file: torch.save(weights, file))


def load_weights(net: nn.Module, folder: Path) -> None:
    """Load the weights and batch-norm statistics of a network that another run has fitted.

    A file without a digest is accepted: a user may have made it with `torch.save(net.state_dict(), path)`.

    Raises:
        ValueError: the folder has no weights, damaged ones, NaN or infinity among them, or those of another network.
    """
    path, asked = folder / WEIGHTS, f"generator.init_from={folder}"
    if not path.is_file():
        raise ValueError(f"{asked}: has no {WEIGHTS}; give the folder of a run that has ended")
    try:
        with contextlib.suppress(Unproved):
            prove(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file: the reader may raise anything
        raise ValueError(f"{path}: cannot be read: {' '.join(str(error).split())[:100]}") from error
    if not isinstance(weights, Mapping):
        raise ValueError(f"{asked}: {WEIGHTS} holds {type(weights).__name__}, no weights: save net.state_dict()")
    start_with(net, weights, asked, "fitted another network")


def start_with(net: nn.Module, weights: Mapping[str, Any], asked: str, source: str) -> None:
    """Load the weights that a fit starts with.

    Args:
        net: takes them.
        weights: by their names.
        asked: what the user said, for an error.
        source: what they come from, for an error.

    Raises:
        ValueError: they are those of another network, or not finite.
    """
    fill(net, weights, f"{asked}: {source}", "here; give the same net and values, latent depth and colours",
         f"{asked}: {{}} is not finite: give weights of a sound run")


def fill(net: nn.Module, weights: Mapping[str, Any], another: str, here: str, unsound: str) -> None:
    """Load weights of any floating type, if they are exactly those that a network has.

    Args:
        net: takes them.
        weights: by their names.
        another, here: how an error about the first weight of another shape begins and ends.
        unsound: the error about a weight, {}, that is not finite.

    Raises:
        ValueError: one of these errors.
    """
    own = net.state_dict()
    for key in own | dict(weights):
        mine, theirs = (shape_of(each[key]) if key in each else "absent" for each in (own, weights))
        if mine != theirs:
            raise ValueError(f"{another}: {str(key)[:100]} is {theirs} there and {mine} {here}")
    for key, value in weights.items():
        if not value.isfinite().all():
            raise ValueError(unsound.format(key))
    net.load_state_dict({key: value.to(own[key].dtype) for key, value in weights.items()})


def shape_of(value: Any) -> tuple[int, ...] | str:
    """The shape of a tensor of real numbers; in words, what else it is."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    if value.layout != torch.strided or value.is_complex() or value.is_quantized or value.is_meta or value.is_nested:
        return f"a tensor of {value.dtype} ({value.layout}, {value.device})"
    return tuple(value.shape)
