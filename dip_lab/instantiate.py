"""The one place where a config becomes objects."""

import difflib
import importlib.util
import inspect
import os
import pydoc
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from dip_lab.spelling import escaped

ALLOWED = ("dip_lab", "torch", "pytorch_lightning")


def instantiate(node: DictConfig | dict, /, **extra: Any) -> Any:
    """Build what `_target_` names, nested nodes included, with `extra` arguments added to the top one.

    Only classes under dip_lab, torch and pytorch_lightning are built, and those under the prefixes that the user
    names in the variable DIP_LAB_TARGETS (comma-separated, such as `mylab,otherlab.nets`).

    Raises:
        ValueError: a target outside the allow-list, a key that the target does not take (with the nearest one that
            it does), or whatever ValueError the target itself raised.
    """
    allowed = (*ALLOWED, *(p.strip() for p in os.environ.get("DIP_LAB_TARGETS", "").split(",") if p.strip()))
    for key in OmegaConf.missing_keys(node if isinstance(node, DictConfig) else _literal(node)):
        raise ValueError(f"{key} has no value: give {key}=...")
    container = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    _check(container, allowed, set(extra))
    keywords: dict[str, Any] = {"_convert_": "all"}
    # Hydra 1.4 wants the list of allowed targets from its caller; 1.3 does not know the argument.
    if "_execution_whitelist_" in inspect.signature(hydra.utils.instantiate).parameters:
        keywords["_execution_whitelist_"] = tuple(f"{prefix}.*" for prefix in allowed)
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


def _check(node: Any, allowed: tuple[str, ...], extra: set[str]) -> None:
    if isinstance(node, list):
        for item in node:
            _check(item, allowed, set())
    if not isinstance(node, dict):
        return
    for item in node.values():
        _check(item, allowed, set())
    target = node.get("_target_")
    if target is None:
        return
    if not any(target == prefix or target.startswith(prefix + ".") for prefix in allowed):
        raise ValueError(
            f"_target_ {target} is outside {', '.join(allowed)}: add its package to the variable DIP_LAB_TARGETS"
        )
    try:
        located = pydoc.locate(target)  # hydra.utils.get_object logs five lines before it raises
    except pydoc.ErrorDuringImport as error:
        raise ValueError(f"_target_ {target} cannot be imported: {' '.join(str(error).split())}") from error
    package = target.partition(".")[0]
    if located is None and importlib.util.find_spec(package) is None:
        raise ValueError(f"_target_ {target}: there is no package {package} here: pip install {package}")
    if not callable(located):
        raise ValueError(f"_target_ {target} cannot be imported: there is no such class or function")
    try:
        parameters = inspect.signature(located).parameters
    except (TypeError, ValueError):  # a builtin without a signature checks its own arguments
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in set(node) - {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"} - extra:
        if key not in parameters:
            near = difflib.get_close_matches(key, parameters, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(parameters)}"
            raise ValueError(f"{target.rsplit('.', 1)[-1]} takes no key {key!r}: {hint}")
