"""What a person did wrong at the prompt, in one line; for the command line and the Python API. No torch."""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dip_lab.catalogue import GROUPS, options
from dip_lab.checks import one_line
from dip_lab.compose import compose, without_hydra
from dip_lab.spelling import own_configs

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


def explain(error: BaseException, arguments: Sequence[str]) -> str:
    """One line for a mistake in the overrides, with the nearest key or option where there is one."""
    if isinstance(error.__cause__, OSError) and "Unable to configure handler" in str(error):  # dip_lab.log
        error = error.__cause__
    text = one_line(error)
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
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read: quote a value with special characters, such as 'key=\"a, b\"'"
    wanted = re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct", text)
    if wanted:
        key = wanted[1] or wanted[2]
        if new := renamed(key):
            return f"{key}: is now {new}"
        near = _nearest_key(key, arguments)
        return f"{key}: there is no such key: " + (f"did you mean {near}?" if near else "--cfg job lists them")
    return text


def _nearest_key(key: str, arguments: Sequence[str]) -> str | None:
    """The key of the composed config that looks most like a misspelt one."""
    chosen = [a for a in arguments if a.split("=")[0] in GROUPS]
    composed = compose([*own_configs(arguments), *chosen])
    known = list(_keys(OmegaConf.to_container(without_hydra(composed))))
    known += [f"task/{group}" for group in ("noise", "mask", "kernel", "observe", "psf", "sampling", "operators")]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if re.split(r"[./]", k)[-1] == key.split(".")[-1]]  # sigma=50 means task.sigma=50
    return near[0] if near else last[0] if last else None


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
