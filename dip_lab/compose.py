"""Overrides -> config, as the command line composes it; for the Python API, scripts and tests. No torch."""

import re
from collections.abc import Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from dip_lab import runs
from dip_lab.catalogue import config_folder


def compose(overrides: Sequence[str]) -> DictConfig:
    """What `python run.py` would run with these overrides; the node `hydra` included, which knows the choices."""
    runs.register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra.compose("run", expand_shadow(overrides), return_hydra_config=True)


def expand_shadow(arguments: Sequence[str]) -> list[str]:
    """`stopping.shadow=[emv,oracle]` as Hydra spells it: each name is an option of stopping, put at its own key.

    >>> expand_shadow(["seed=1", "stopping.shadow=[emv]"])
    ['seed=1', '+stopping@stopping.shadow.emv=emv']
    """
    expanded = []
    for argument in arguments:
        names = re.fullmatch(r"stopping\.shadow=\[([\w, ]*)\]", argument)
        if names:
            expanded += [f"+stopping@stopping.shadow.{name}={name}" for name in re.findall(r"\w+", names[1])]
        else:
            expanded.append(argument)
    return expanded


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy without the node `hydra`: the experiment alone."""
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
