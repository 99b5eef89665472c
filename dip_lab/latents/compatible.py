"""Which latents a network can take."""

import pydoc

from omegaconf import OmegaConf
from torch import nn

from dip_lab.catalogue import config_folder, options
from dip_lab.latents.latent import Latent

TAKEN_BY_DEFAULT = ("full", "coordinates")  # by a network that has no attribute `latents`


def check_latent(net: nn.Module, latent: Latent) -> None:
    """Refuse a latent of a kind that the network cannot use.

    Raises:
        ValueError: the kind does not fit; the message lists the options of configs/latent that do.
    """
    kinds = getattr(net, "latents", TAKEN_BY_DEFAULT)
    if latent.kind not in kinds:
        fitting = [name for name in options("latent") if _kind(name) in kinds]
        raise ValueError(
            f"{type(net).__name__} takes no latent of the kind {latent.kind!r}: give latent= {', '.join(fitting)}"
        )


def _kind(option: str) -> str:
    target = OmegaConf.load(config_folder() / "latent" / f"{option}.yaml")._target_
    return pydoc.locate(target).kind
