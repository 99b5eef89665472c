"""What a config may name in `_target_`. A config is data: it chooses among classes, and runs no code. No torch."""

import contextlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydra._internal.utils import _locate
from omegaconf.errors import OmegaConfBaseException

from dip_lab.checks import one_line, plain_name

# What other packages may give: {base class: packages of the class itself}.
KINDS = {
    "torch.nn.modules.module.Module": ("torch.nn",),
    "torch.optim.optimizer.Optimizer": ("torch.optim",),
    "torch.optim.lr_scheduler.LRScheduler": ("torch.optim",),
    "pytorch_lightning.trainer.trainer.Trainer": ("pytorch_lightning",),
    "pytorch_lightning.loggers.logger.Logger": ("pytorch_lightning",),
    "lightning_fabric.plugins.environments.cluster_environment.ClusterEnvironment": ("lightning_fabric",),
}
OF_LOGGING = {"logging.Handler": ("logging", "rich", "dip_lab"), "logging.Filter": ("logging", "dip_lab"),
              "logging.Formatter": ("logging", "colorlog", "dip_lab")}
OURS = ("dip_lab",)
OF_HYDRA = ("dip_lab", "hydra", "hydra_plugins", "optuna.samplers")  # callbacks, launchers and sweepers
FUNCTIONS = ("dip_lab.baselines", "dip_lab.loggers.wandb.start")  # what may be named beside classes
OF_THE_PROCESS = ("DIP_LAB_", "LD_", "DYLD_", "PYTHON", "PATH")  # variables that choose what code runs


def located(target: object, ours: tuple[str, ...] = OURS, kinds: Mapping[str, tuple[str, ...]] = KINDS) -> Callable:
    """The class, or the baseline's function, that a `_target_` names.

    Allowed are the classes that are defined in dip_lab; networks, optimisers and schedules of torch; Lightning's
    Trainer and loggers; and whatever is below the prefixes that the user names in the variable DIP_LAB_TARGETS
    (comma-separated, such as `mylab,otherlab.nets`). What such a package only imports, such as `torch.os.system`, is
    not allowed.

    Args:
        target: the value of `_target_`.
        ours: packages of which every class may be named.
        kinds: {base class: packages in which classes of this kind may be named}.

    Raises:
        ValueError: anything else, or there is no such class.
    """
    if not isinstance(target, str):
        raise ValueError(f"_target_={' '.join(str(target).split())}: give the full name of a class, such as "
                         "torch.optim.Adam")
    opened = tuple(prefix.strip() for prefix in os.environ.get("DIP_LAB_TARGETS", "").split(",") if prefix.strip())
    others = sorted({package.partition(".")[0] for packages in kinds.values() for package in packages})
    known = (*ours, *others, *opened)
    if not _below(target, known):
        raise ValueError(f"_target_ {target} is outside {', '.join(known)}: add its package to the variable "
                         "DIP_LAB_TARGETS")
    found = _imported(target)
    if not callable(found):
        raise ValueError(f"_target_ {target} cannot be imported: there is no such class or function")
    if not (_below(target, opened) or _is_ours(found, ours) or _is_a(found, kinds)):
        raise ValueError(f"_target_ {target}: a config may name a class of dip_lab, and of torch and Lightning only "
                         "networks, optimisers, schedules, the Trainer and loggers: to trust it, name it in the "
                         "variable DIP_LAB_TARGETS")
    return found


def check_hydra(node: Mapping[str, Any]) -> None:
    """Refuse a node `hydra` by which Hydra would run code before dip_lab reads its config.

    Raises:
        ValueError: a callback, launcher, sweeper or handler of messages that may not be named; a name that is a path; a
            variable that decides which code runs.
    """
    for key in ("callbacks", "launcher", "sweeper"):
        for target in _values(node[key], ("_target_",)):
            located(target, OF_HYDRA, {})
    for key in ("hydra_logging", "job_logging"):
        for target in _values(node[key], ("()", "class", "factory")):
            if not (isinstance(target, str) and _is_a(_imported(target), OF_LOGGING)):
                raise ValueError(f"hydra.{key}: {target} is not a handler, formatter or filter of logging")
    plain_name("hydra.job.name", node["job"]["name"])
    if node["output_subdir"] is not None:
        plain_name("hydra.output_subdir", node["output_subdir"].removeprefix("."))
    for variable in node["job"]["env_set"]:
        if str(variable).startswith(OF_THE_PROCESS):
            raise ValueError(f"hydra.job.env_set.{variable}: a config may not set it: export {variable}=... instead")


def _imported(target: str) -> Any:
    """What Hydra finds under this name."""
    try:
        return _locate(target)  # hydra.utils.get_object does the same, and logs five lines if it fails
    except Exception as error:  # the module may raise anything
        package = target.partition(".")[0]
        if package and importlib.util.find_spec(package) is None:
            raise ValueError(f"_target_ {target}: there is no package {package} here: pip install {package}") from error
        cause = error.__cause__ or error
        absent = isinstance(cause, AttributeError | ModuleNotFoundError) and str(cause.name) in target
        reason = "there is no such class or function" if absent else one_line(cause)
        raise ValueError(f"_target_ {target} cannot be imported: {reason}") from error


def _is_ours(found: Any, packages: tuple[str, ...]) -> bool:
    """Whether it is a class that is defined in these packages, or one of the functions."""
    name = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    if inspect.isfunction(found):
        return _below(name, FUNCTIONS)
    return inspect.isclass(found) and _below(name, packages) and _imported(name) is found


def _is_a(found: Any, kinds: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether it is a class of one of these kinds, and defined in a package that belongs to the kind."""
    bases = {f"{base.__module__}.{base.__qualname__}" for base in found.__mro__} if inspect.isclass(found) else ()
    return any(kind in bases and _below(found.__module__, packages) for kind, packages in kinds.items())


def _below(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _values(node: Any, names: Sequence[str]) -> Iterator[Any]:
    """The values at keys of these names, at any depth; other values need not be known yet."""
    if isinstance(node, Sequence) and not isinstance(node, str):
        for item in node:
            yield from _values(item, names)
    elif isinstance(node, Mapping):
        for key in node:
            if key in names:
                yield node[key]
                continue
            with contextlib.suppress(OmegaConfBaseException):  # such as ${hydra.runtime.output_dir}
                yield from _values(node[key], names)
