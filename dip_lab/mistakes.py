"""What a person did wrong at the prompt, in one line; for the command line and the Python API. No torch."""

import contextlib
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dip_lab.catalogue import GROUPS, config_folder, groups, options
from dip_lab.checks import one_line
from dip_lab.compose import compose, without_hydra
from dip_lab.data.listing import some_of

MISTAKES = (HydraException, OmegaConfBaseException, ValueError, OSError)  # what a person can cause and correct
# Keys that have moved, and where to.
RENAMED = {
    "tiling.network": "splits/tiles=one or each", "tiling.overlap": "splits.tiles.overlap",
    "average.seeds": "splits.seeds.count", "stopping.shadow": "shadow=[emv,wmv]",
    "net.init": "generator.init", "net.init_from": "generator.init_from",
    "coarse_to_fine": "generator.coarse_to_fine", "optimizer.clip": "descent.clip",
    "optimizer.weight_noise": "descent.weight_noise", "optimizer/schedule": "descent/schedule",
    "optimizer.schedule": "descent.schedule",
    "logger.mode": "logger.wandb.mode", "logger.project": "logger.wandb.project",
}


@contextlib.contextmanager
def explained(overrides: Sequence[str], primary: str = "run") -> Iterator[None]:
    """Raise a mistake in the overrides of a primary config as a ValueError of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(explain(error, overrides, primary)) from None


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Raise as a ValueError of one line whatever Python stumbles over before the first iteration.

    Settings that none of our classes expects, such as a list for a network, end as any kind of error.
    """
    try:
        yield
    except MISTAKES:
        raise
    except Exception as error:
        raise ValueError(f"these settings cannot be used: {unexpected(error)}") from error


def unexpected(error: BaseException) -> str:
    """One line for an error that nobody foresaw."""
    return f"{type(error).__name__}: {one_line(error)} (HYDRA_FULL_ERROR=1 shows where)"


def explain(error: BaseException, overrides: Sequence[str], primary: str = "run") -> str:
    """One line for a mistake in the overrides, with the nearest key or option where there is one."""
    if isinstance(error.__cause__, OSError) and "Unable to configure handler" in str(error):  # dip_lab.log
        error = error.__cause__
    text = re.sub(r"^ValueError raised while resolving interpolation: (.*?) full_key: .*", r"\1", one_line(error))
    listed = re.search(r"Could not load '([\w/]+)/(\w+)'", text)  # one of a list, such as regularizer=[tv,egde]
    if listed and (known := list(options(listed[1]))):
        near = difflib.get_close_matches(listed[2], known, n=1)
        hint = f"{listed[1]}={listed[2]}: did you mean {near[0]}? " if near else ""
        return f"{hint}{listed[1]} is one of {', '.join(known)}"
    if isinstance(error, MissingConfigException) and error.options is not None:
        wanted = re.search(r"Could not find '([^']+)'", text)
        group, _, option = (wanted[1] if wanted else error.missing_cfg_file or "").rpartition("/")
        near = difflib.get_close_matches(option, error.options, n=1)
        hint = f"{group}={option}: did you mean {near[0]}? " if near else ""
        if (group, option) == ("hydra/sweeper", "optuna"):
            return "hydra/sweeper=optuna needs extra packages: pip install -e '.[search]'"
        return f"{hint}{group} is one of {', '.join(error.options)}"
    if isinstance(error, ConfigCompositionException) and error.__cause__ and (not text or "Error merging" in text):
        text = f"{text.removeprefix('Error merging override ')}: {one_line(error.__cause__)}".removeprefix(": ")
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read: quote a value with special characters, such as 'key=\"a, b\"'"
    for override in overrides:
        key = override.removeprefix("~")
        if key != override and (f"'{key}'" in text or f"full_key: {key} " in text):
            return f"{override}: a run needs it: give it another value instead"
    wanted = re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct", text)
    if wanted:
        key = wanted[1] or wanted[2]
        if new := renamed(key):
            return f"{key}: is now {new}"
        return f"{key}: {_what_instead(key, overrides, primary)}"
    return text


def _what_instead(key: str, overrides: Sequence[str], primary: str) -> str:
    """What to write for a key that the composed config does not have: the options that have it, or the nearest key."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    chosen = [each.input_line for each in parsed
              if each.get_key_element() in (*GROUPS, "hydra.searchpath") and not each.is_sweep_override()]
    composed = compose(chosen, name=primary)
    choices = composed.hydra.runtime.choices
    if owners := _owners(key, choices):
        group = re.split(r"[./]", key)[0]
        return f"{group}={choices.get(group)} has no such key: it belongs to {some_of(owners, 6)}"
    known = [*_keys(OmegaConf.to_container(without_hydra(composed))), *(g for g in groups() if g.startswith("task/"))]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if re.split(r"[./]", k)[-1] == key.split(".")[-1]]  # sigma=50 means task.sigma=50
    hint = near[0] if near else last[0] if last else None
    return "there is no such key: " + (f"did you mean {hint}?" if hint else "--cfg job lists them")


def _owners(key: str, choices: Mapping[str, str]) -> list[str]:
    """What to choose for a key or a group that the chosen options do not have: task=super_resolution for task.factor.

    For what is inside a group, such as task/mask=file, these are the options of the group that take it.
    """
    found = []
    for group in groups():
        if re.split(r"[./]", key)[0] != group.split("/")[0]:
            continue
        parent, _, kind = group.rpartition("/")
        takers = [f"{parent}={option}" for option in options(parent)
                  if kind in _content(parent, option)[1]] if parent and group not in choices else []
        if key == group:
            found += takers
        for option in options(group):
            package, names = _content(group, option)
            if key.startswith(f"{package}.") and key.removeprefix(f"{package}.") in names:
                found += takers or [f"{group}={option}"]
    return list(dict.fromkeys(found))


def _content(group: str, option: str) -> tuple[str, list[str]]:
    """(where an option's keys are in the config, these keys and the groups inside it)."""
    file = config_folder() / group / f"{option}.yaml"
    package = re.match(r"# @package (\S+)", file.read_text(encoding="utf-8"))
    tree = OmegaConf.to_container(OmegaConf.load(file))
    inner = [str(kind) for line in tree.pop("defaults", []) if isinstance(line, dict) for kind in line]
    return package[1] if package else group.replace("/", "."), [*_keys(tree), *inner]


def _keys(tree: Any, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield prefix + str(key)
        yield from _keys(value, f"{prefix}{key}.")


def renamed(key: str) -> str | None:
    """The new name of a key that has moved, or that lies below one that has; None for other keys.

    >>> renamed("coarse_to_fine.factor"), renamed("net.width")
    ('generator.coarse_to_fine.factor', None)
    """
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return None
