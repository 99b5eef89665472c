"""Overrides -> config, as the command line composes it; for the Python API, scripts and tests. No torch."""

import re
from collections.abc import Mapping, Sequence

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from dip_lab import runs
from dip_lab.catalogue import config_folder


def compose(overrides: Sequence[str]) -> DictConfig:
    """What `python run.py` would run with these overrides; the node `hydra` included, which knows the choices."""
    runs.register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra.compose("run", expand_shadow(overrides), return_hydra_config=True)


def cells_of(experiment: Sequence[str]) -> list[DictConfig]:
    """The configs that `python run.py` with these overrides would run one after the other, nodes `hydra` included.

    The values that an experiment's own `hydra.sweeper.params` gives, and those with commas, are swept.
    """
    runs.register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        chosen = [argument for argument in experiment if argument.startswith("experiment=")]
        params = hydra.compose("run", chosen, return_hydra_config=True).hydra.sweeper.params or {}
        cells = combinations(GlobalHydra.instance().config_loader(), params, experiment)
        return [hydra.compose("run", overrides, return_hydra_config=True) for overrides in cells]


def combinations(loader: ConfigLoader, params: Mapping[str, str], arguments: Sequence[str]) -> list[list[str]]:
    """The overrides of each cell of a sweep: all combinations of the values; arguments replace params.

    Raises:
        HydraException: an override cannot be read, or is an interval, which needs a search.
    """
    parser = OverridesParser.create(config_loader=loader)
    swept = parser.parse_overrides([*(f"{key}={values}" for key, values in params.items()), *arguments])
    return BasicSweeper.split_arguments(swept, max_batch_size=None)[0]


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
