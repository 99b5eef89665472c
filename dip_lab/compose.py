"""Overrides -> config, as the command line composes it; for the Python API, scripts and tests. No torch."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.singleton import Singleton
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf

from dip_lab.catalogue import config_folder
from dip_lab.runs.identity import Cell, cell_of
from dip_lab.spelling import expand_shadow

Params = Mapping[str, str] | Sequence[Mapping[str, str]]  # what a sweep sweeps, or several one after the other


def compose(overrides: Sequence[str]) -> DictConfig:
    """The config that `python run.py` would run with these overrides, with the node `hydra`, which knows the choices.
    """
    with _own_hydra():
        return hydra.compose("run", expand_shadow(overrides), return_hydra_config=True)


def cells_of(experiment: Sequence[str]) -> list[DictConfig]:
    """The configs that `python run.py` with these overrides would run one after the other, with their nodes `hydra`.

    The values that an experiment's own `hydra.sweeper.params` gives, and those with commas, are swept.
    """
    with _own_hydra():
        chosen = [argument for argument in experiment if argument.startswith("experiment=")]
        params = hydra.compose("run", chosen, return_hydra_config=True).hydra.sweeper.params or {}
        cells = combinations(GlobalHydra.instance().config_loader(), params, experiment)
        return [hydra.compose("run", overrides, return_hydra_config=True) for overrides in cells]


@contextlib.contextmanager
def _own_hydra() -> Iterator[None]:
    """Hydra with our configs; afterwards a caller's own is as it was."""
    register_resolvers()
    instances, base = Singleton._instances, VersionBase.instance().version_base
    theirs = instances.pop(GlobalHydra, None)
    try:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            yield
    finally:
        VersionBase.instance().version_base = base
        instances.pop(GlobalHydra, None)
        if theirs is not None:
            instances[GlobalHydra] = theirs


def combinations(loader: ConfigLoader, params: Params, arguments: Sequence[str]) -> list[list[str]]:
    """The overrides of each cell of a sweep: all combinations of the values; arguments replace params.

    Of several `params` the sweeps follow each other.

    Raises:
        HydraException: an override cannot be read, or is an interval, which needs a search.
    """
    parser, cells = OverridesParser.create(config_loader=loader), []
    for each in [params] if isinstance(params, Mapping) else params:
        swept = parser.parse_overrides([*(f"{key}={values}" for key, values in each.items()), *arguments])
        cells += BasicSweeper.split_arguments(swept, max_batch_size=None)[0]
    return cells


def cell_at(cfg: DictConfig, hydra_node: DictConfig, folder: Path | None, **chosen: str) -> Cell:
    """The identity of a composed config.

    Args:
        cfg: with or without its node `hydra`.
        hydra_node: that node, which knows the chosen options and the overrides.
        folder: where the cell's files go; None: nothing is written.
        chosen: options to show instead of those of the config.
    """
    choices = {**hydra_node.runtime.choices, **chosen}
    return cell_of(resolved(cfg), choices, folder, list(hydra_node.overrides.task or ()))


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The experiment as plain values, without the nodes that only make sense while Hydra runs a job."""
    values = {key: cfg[key] for key in cfg if key not in ("hydra", "logger", "name")}
    return {key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in values.items()}


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy without the node `hydra`: the experiment alone."""
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


def register_resolvers() -> None:
    """Teach OmegaConf `${dip_lab.cell:}`, the name of a run's folder, and `${dip_lab.either:${faithful},32,1}`."""
    resolvers = {"either": lambda this, first, second: first if this else second,
                 "cell": lambda *, _root_: cell_at(_root_, _root_.hydra, None).name}
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(f"dip_lab.{name}", resolver, replace=True)


def enter() -> None:
    """Change to the folder where the command was typed, so that relative paths work in a worker of Ray."""
    os.chdir(os.environ["DIP_LAB_CWD"])
