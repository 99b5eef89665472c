"""The one place where a config becomes objects."""

import difflib
import inspect
import re
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from dip_lab.checks import flag
from dip_lab.spelling import escaped
from dip_lab.targets import located


def instantiate(node: DictConfig | dict, /, **extra: Any) -> Any:
    """Build what `_target_` names, nested nodes included, with `extra` arguments added to the top one.

    Raises:
        ValueError: not a node with `_target_`; a target that a config may not name (see `dip_lab.targets.located`); a
            key that the target does not take (with the nearest one that it does), or that is not true or false where
            the target says `bool`; or whatever ValueError the target itself raised.
    """
    if not isinstance(node, DictConfig | dict) or "_target_" not in node:
        found = f"{_place(node)} has no _target_" if isinstance(node, DictConfig) else f"{node}"
        raise ValueError(f"{found}: here a config names a class and what it takes: choose an option of the group")
    for key in OmegaConf.missing_keys(node if isinstance(node, DictConfig) else _literal(node)):
        raise ValueError(f"{key} has no value: give {key}=...")
    container = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    targets = _check(container, set(extra), _place(node))
    keywords: dict[str, Any] = {"_convert_": "all"}
    # Hydra 1.4 wants the list of allowed targets from its caller; 1.3 does not know the argument.
    if "_execution_whitelist_" in inspect.signature(hydra.utils.instantiate).parameters:
        keywords["_execution_whitelist_"] = tuple(targets)
    try:
        return hydra.utils.instantiate(_literal(container), **keywords, **extra)
    except InstantiationException as error:
        if isinstance(error.__cause__, (ValueError, OSError)):
            raise error.__cause__ from error
        raise ValueError(" ".join(str(error).split())) from error


def _literal(node: Any) -> Any:
    """The values that Hydra gives back as they are here: it resolves `${...}` twice, also in the name of a file."""
    if isinstance(node, dict):
        return {key: _literal(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_literal(value) for value in node]
    return escaped(escaped(node)) if isinstance(node, str) else node


def _place(node: DictConfig | dict) -> str:
    """The full key of a node, such as task.operator; empty for plain values."""
    return node._get_full_key(None) if isinstance(node, DictConfig) else ""


def _check(node: Any, extra: set[str], place: str) -> list[str]:
    """The targets of a node and of those in it, all of which a config may name, with keys that they take."""
    if isinstance(node, list):
        return [target for item in node for target in _check(item, set(), place)]
    if not isinstance(node, dict):
        return []
    inner = {key: f"{place}.{key}".lstrip(".") for key in node}
    targets = [target for key, item in node.items() for target in _check(item, set(), inner[key])]
    if "_target_" not in node:
        return targets
    target = located(node["_target_"])
    for key in ("_partial_", "_recursive_"):
        flag(key, node.get(key, False))
    name = node["_target_"].rsplit(".", 1)[-1]
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # a builtin without a signature checks its own arguments
        return [node["_target_"], *targets]
    others = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in set(node) - {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"} - extra:
        if key in parameters:
            _check_switch(inner[key], node[key], inspect.formatannotation(parameters[key].annotation))
        elif not others:
            near = difflib.get_close_matches(key, parameters, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(parameters)}"
            raise ValueError(f"{name} takes no key {key!r}: {hint}")
    return [node["_target_"], *targets]


def _check_switch(key: str, value: Any, kind: str) -> None:
    """Refuse `no`, which is a text and true, where the annotation says bool, perhaps among other kinds."""
    words = set(re.findall(r"\w+", kind))
    if "bool" not in words or words & {"int", "float", "str"} or f"'{value}'" in kind:
        return
    if value is not None or not words & {"None", "NoneType", "Optional"}:
        flag(key, value)
