"""Overrides -> config, as the command line composes it; for the Python API, scripts and tests. No torch."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.singleton import Singleton
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf

from dip_lab.catalogue import config_folder
from dip_lab.checks import flag, integer, plain_name, whole
from dip_lab.data.listing import some_of
from dip_lab.instantiate import instantiate
from dip_lab.runs.identity import Cell, cell_of
from dip_lab.runs.ours import check_answer
from dip_lab.spelling import quoted, spelled
from dip_lab.targets import check_hydra
from dip_lab.training.identity import training_of

OF_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:")
Load = Callable[[Sequence[str]], DictConfig]  # composes a config from overrides, none of which is swept


def compose(overrides: Sequence[str], folder: Path | None = None, name: str = "run") -> DictConfig:
    """The config that `python run.py` would run with these overrides, with the node `hydra`, which knows the choices.

    Args:
        overrides: none of them swept.
        folder: of the primary config. Default: ours.
        name: of the primary config.
    """
    with _own_hydra(folder):
        return hydra.compose(name, spelled(overrides), return_hydra_config=True)


def refuse_code(overrides: Sequence[str], folder: Path | None = None, name: str = "run") -> None:
    """Refuse a config by which Hydra itself would run code, before Hydra sees it; what is swept is left out.

    Raises:
        ValueError: see `dip_lab.targets.check_hydra`.
    """
    given = OverridesParser.create().parse_overrides(list(overrides))
    cfg = compose([each.input_line for each in given if not each.is_sweep_override()], folder, name)
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.set_config(cfg)
    try:
        check_hydra(cfg.hydra)
    finally:
        instance.cfg = before


def cells_of(experiment: Sequence[str]) -> list[DictConfig]:
    """The configs that `python run.py` with these overrides would run one after the other, with their nodes `hydra`.

    The values that an experiment's own `hydra.sweeper.params` gives, and those with commas, are swept.
    """
    with _own_hydra():
        load = partial(hydra.compose, "run", return_hydra_config=True)
        return [cfg for _, cfg in cells(GlobalHydra.instance().config_loader(), load, experiment)]


@contextlib.contextmanager
def _own_hydra(folder: Path | None = None) -> Iterator[None]:
    """Hydra with our configs, or those of a folder; afterwards a caller's own is as it was."""
    register_resolvers()
    instances, base = Singleton._instances, VersionBase.instance().version_base
    theirs = instances.pop(GlobalHydra, None)
    try:
        with hydra.initialize_config_dir(str(folder or config_folder()), version_base="1.3"):
            yield
    finally:
        VersionBase.instance().version_base = base
        instances.pop(GlobalHydra, None)
        if theirs is not None:
            instances[GlobalHydra] = theirs


def cells(loader: ConfigLoader, load: Load, arguments: Sequence[str]) -> Iterator[tuple[list[str], DictConfig]]:
    """The overrides and the config of each cell of a sweep: all combinations of the values.

    Arguments replace what an experiment sweeps by itself (`hydra.sweeper.params`: {key: values}, or a list of such
    maps, whose sweeps follow each other); of several experiments, each has its own. A source of data with several
    pictures, of which none is named, or `data.name=glob(kodim*)`, gives a cell for each of its own.

    Raises:
        HydraException: an override cannot be read, or a cell cannot be composed.
        ValueError: an interval, which needs a search; nothing to sweep over; no such folder or picture.
    """
    parser = OverridesParser.create(config_loader=loader)
    given = parser.parse_overrides(spelled(arguments))
    chosen = [override for override in given if override.key_or_group == "experiment"]
    around = [argument for argument in arguments if argument.startswith("hydra.")]
    for experiment in _combinations(chosen):
        params = load([*around, *experiment]).hydra.sweeper.params or {}
        for each in [params] if isinstance(params, Mapping) else params:
            own = parser.parse_overrides(spelled([f"{key}={values}" for key, values in each.items()]))
            last = {override.get_key_element(): override for override in [*own, *given] if override not in chosen}
            pattern = last.pop("data.name") if _is_glob(last.get("data.name")) else None
            for overrides in _combinations([*last.values()]):
                yield from _pictures(load, spelled([*experiment, *overrides]), pattern)


def _combinations(overrides: list[Override]) -> list[list[str]]:
    for override in overrides:
        if override.is_interval_sweep():
            raise ValueError(f"{override.input_line}: a sweep has single values: 1,2,3 or range(1,4); intervals are "
                             "searched by hydra/sweeper=optuna")
        if override.is_sweep_override() and not list(override.sweep_string_iterator()):
            raise ValueError(f"{override.input_line}: there is nothing to sweep over")
    return BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]


def _pictures(load: Load, overrides: list[str], pattern: Override | None) -> Iterator[tuple[list[str], DictConfig]]:
    """The cell of these overrides, or one for each picture of its source whose name fits the pattern."""
    cfg = load(overrides)
    # A source that the command names is meant as a whole, even if its YAML names one picture.
    whole = cfg.data.get("name") is None or any(text.startswith("data=") for text in overrides)
    named = any(text.startswith("data.name=") for text in overrides)
    names = instantiate(cfg.data).names() if pattern or (whole and not named) else None
    if names is None and pattern:
        raise ValueError(f"{pattern.input_line}: only a folder and a data set have pictures to choose from")
    if names is None:
        yield overrides, cfg
        return
    chosen = pattern.value().filter(names) if pattern else names
    if not chosen:
        raise ValueError(f"{pattern.input_line}: no such picture; there are {some_of(names, 40)}")
    for name in chosen:
        each = [*overrides, f"data.name={quoted(name)}"]
        yield each, load(each)


def _is_glob(override: Override | None) -> bool:
    return override is not None and isinstance(override.value(), Glob)


def cell_at(cfg: DictConfig, hydra_node: DictConfig, folder: Path | None, **chosen: str) -> Cell:
    """The identity of a composed config.

    Args:
        cfg: with or without its node `hydra`.
        hydra_node: that node, which knows the chosen options and the overrides.
        folder: where the cell's files go; None: nothing is written.
        chosen: options to show instead of those of the config.

    Raises:
        ValueError: what decides which cell it is, and which files are written and removed, is not what it should be.
    """
    for key in ("rerun", "retry_failed", "faithful"):
        flag(key, cfg[key])
    flag("task.given", cfg.task.given)
    integer("seed", cfg.seed)
    check_answer(cfg.task.answer)
    choices = {**hydra_node.runtime.choices, **chosen}
    given = OmegaConf.to_container(hydra_node.overrides.task) if hydra_node.overrides.task else []
    return cell_of(resolved(cfg), choices, folder, given, recorded(cfg))


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The experiment as plain values, without the nodes that only make sense while Hydra runs a job."""
    values = {key: cfg[key] for key in cfg if key not in ("hydra", "logger", "name")}
    return {key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else whole(value)
            for key, value in values.items()}


def recorded(cfg: DictConfig, read: Callable[[DictConfig], dict[str, Any]] = resolved) -> dict[str, Any]:
    """What `read` makes of a config, for others to see: a text that comes from the environment, which may be a secret,
    stands there as it was written, `${oc.env:KEY}`."""
    written = OmegaConf.to_container(cfg, resolve=False)
    masked = _mapped(written, lambda text: OF_ENVIRONMENT.sub("${dip_lab.written:", text))
    values = read(cfg)
    if masked == written:
        return values
    return _unless_masked(values, read(OmegaConf.create(masked)))


def _mapped(node: Any, change: Callable[[str], str]) -> Any:
    if isinstance(node, dict):
        return {key: _mapped(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [_mapped(value, change) for value in node]
    return change(node) if isinstance(node, str) else node


def _unless_masked(value: Any, masked: Any) -> Any:
    """Both are the same values, one of them with masks; a number that was read from the environment is a number."""
    if isinstance(value, dict) and isinstance(masked, dict):
        return {key: _unless_masked(value[key], masked.get(key)) for key in value}
    if isinstance(value, list) and isinstance(masked, list) and len(value) == len(masked):
        return list(map(_unless_masked, value, masked))
    return masked if isinstance(value, str) and isinstance(masked, str) and "${oc.env:" in masked else value


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy without the node `hydra`: the experiment alone."""
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


def register_resolvers() -> None:
    """Teach OmegaConf the resolvers of our YAML.

    They are `${dip_lab.cell:}` and `${dip_lab.training:}`, the names of the folders of a run and of a training;
    `${dip_lab.group:${name}}`, that of the folder around it; `${dip_lab.either:${faithful},32,1}`;
    `${dip_lab.written:NAME}`.
    """
    resolvers = {"written": lambda *key: "${oc.env:" + ",".join(map(str, key)) + "}",
                 "either": lambda this, first, second: first if this else second,
                 "group": lambda name: plain_name("name", name),
                 "cell": lambda *, _root_: cell_at(_root_, _root_.hydra, None).name,
                 "training": lambda *, _root_: training_of(resolved(_root_), _root_.hydra.runtime.choices).name}
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(f"dip_lab.{name}", resolver, replace=True)


def enter() -> None:
    """Change to the folder where the command was typed, so that relative paths work in a worker of Ray."""
    os.chdir(os.environ["DIP_LAB_CWD"])
