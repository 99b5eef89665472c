"""The weights that a fit starts with when another fit or a training made them: `generator.init_from`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from dip_lab.checks import one_line
from dip_lab.nets.weights import load_weights, start_with
from dip_lab.runs.folder import WEIGHTS
from dip_lab.training.checkpoint import about, by_channels, weights_of


def load_start(net: nn.Module, start: str | Mapping[str, str], channels: int) -> Mapping[str, Any] | None:
    """Load weights into a network that a fit is about to begin with.

    Args:
        net: takes them.
        start: the folder of a fit, that of a training, or a file of trained weights; or {"grey": ..., "colour": ...}.
        channels: of the picture, which says which of the two is taken.

    Returns:
        What the training was, where the weights come from one: the fit is then a learned start, whose prior is
        supervised. None after a fit, which saw no other picture.

    Raises:
        ValueError: they cannot be read, or are those of another network.
    """
    start = by_channels("generator.init_from", start)["grey" if channels == 1 else "colour"]
    asked, folder = f"generator.init_from={start}", Path(os.path.expanduser(str(start)))
    if (folder / WEIGHTS).is_file():
        load_weights(net, folder)
        return None
    try:
        path, card, weights = weights_of(str(start))
    except ValueError as error:
        raise ValueError(f"{asked}: {one_line(error).removeprefix(f'{folder}: ')}; give the folder of a fit or of a "
                         "training, or a file of weights") from error
    start_with(net, weights, asked, f"is a training of net={card.net}")
    return about(path, card)
