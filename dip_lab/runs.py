"""A run's folder: its name, who may work in it, and what is already done there. Imports no torch."""

import contextlib
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from dip_lab.data.listing import picked, pictures_in
from dip_lab.data.registry import digest, pictures_of

log = logging.getLogger(__name__)
RESULT = "result.json"
ERROR = "error.txt"
LOCK = ".lock"
LOOK = 0.05  # seconds: longer than `is_claimed` holds a lock
# What decides where and how a fit is watched, not what it computes.
NOT_THE_EXPERIMENT = ("hydra", "logger", "trainer", "name", "rerun", "retry_failed", "threads", "gpu", "device",
                      "experiment", "faithful", "table")
BASELINE_KEYS = ("data", "task", "seed", "baseline")
NOT_OF_THE_PICTURE = {"name": None, "folders": None, "root": None}  # where it was found, and what it is called there

WEIGHTS = Path("checkpoints", "weights.pt")  # in a run's folder: the network as its last iteration left it


def one_line(error: BaseException) -> str:
    """What a person needs of an error, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old content or the new one, never a part.

    Raises:
        OSError: no room, no right to write; its `filename` is set.
    """
    try:
        _write_atomic(path, data)
    except OSError as error:
        if error.filename is None:  # what write and fsync raise does not say which file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _write_atomic(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write numbers as numbers and what JSON cannot say (NaN, infinity) as null."""
    write_atomic(path, (json.dumps(_finite(content), indent=2, allow_nan=False) + "\n").encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def config_hash(cfg: DictConfig) -> str:
    """Eight hexadecimal digits of the resolved experiment: the same experiment has the same folder anywhere.

    A file, whatever key names it, counts by its content and not by its name or place; so does the picture `name` of a
    folder or a data set, and the run whose weights are the start.
    """
    counted = _by_content(experiment_of(cfg), cfg.data.get("root"))
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:8]


def experiment_of(cfg: DictConfig) -> dict[str, Any]:
    """What a config computes, resolved; of a baseline only what it looks at."""
    experiment = {}
    for key in cfg:
        if key in BASELINE_KEYS if cfg.baseline else key not in (*NOT_THE_EXPERIMENT, "baseline"):
            value = cfg[key]
            experiment[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return experiment


def _by_content(value: Any, root: str | None, key: str = "") -> Any:
    if isinstance(value, dict):
        content = {k: _by_content(v, root, k) for k, v in value.items()}
        picture = _picture_of(value)
        return content if picture is None else {**content, "path": digest(picture, root), **NOT_OF_THE_PICTURE}
    if isinstance(value, list):
        return [_by_content(item, root, key) for item in value]
    if not isinstance(value, str) or key == "_target_":
        return value
    folder = Path(os.path.expanduser(value))
    if (folder / WEIGHTS).is_file():  # of a run
        return digest(str(folder / WEIGHTS))
    if key == "path" and folder.is_dir():  # the frames of a clip
        return [digest(str(file)) for file in sorted(folder.iterdir()) if file.is_file()]
    return digest(value, root) or value


def _picture_of(source: dict[str, Any]) -> str | None:
    """The file that the keys of a folder, or of a data set, pick; None where they do not."""
    if "folders" in source:
        return pictures_of(source["folders"], source["root"]).get(str(source["name"]))
    folder = Path(os.path.expanduser(str(source.get("path") or "")))
    if "name" not in source or not source.get("path") or not folder.is_dir():
        return None
    try:
        names = pictures_in(folder)
        if source["name"] is not None:
            return str(folder / picked(names, str(source["name"]), str(folder)))
        return str(folder / names[0]) if len(names) == 1 else None
    except ValueError:  # refused, with the reason, where the picture is read
        return None


def picture_name(cfg: DictConfig) -> str:
    """The picture's name as far as the config says it."""
    paths = cfg.data.get("paths") or ["picture"]
    path = Path(str(cfg.data.get("name") or cfg.data.get("path") or paths[0]))
    return path.name if path.is_dir() else path.stem


def chosen_options(cfg: DictConfig, choices: Mapping[str, str]) -> dict[str, str]:
    """The option of each group that an experiment is made of; of regularisers there may be several: tv+edge.

    A baseline takes the place of all that makes a fit.
    """
    cell = {group: choices[group] for group in ("task", "data")}
    fit = {group: choices[group] for group in ("net", "latent", "optimizer", "stopping", "average")}
    fit["regularizer"] = "+".join(cfg.regularizer) or "none"
    if cfg.baseline:
        return {**cell, "baseline": choices["baseline"], **dict.fromkeys(fit)}
    return {**cell, "baseline": None, **fit}


def description(cfg: DictConfig, choices: Mapping[str, str]) -> dict[str, Any]:
    """What is known of a cell before anything is computed: the first part of its result.json."""
    return {
        **chosen_options(cfg, choices),
        "noise": choices["task/noise"],
        "picture": picture_name(cfg),
        "seed": cfg.seed,
        "config_hash": config_hash(cfg),
    }


def provenance(cfg: DictConfig, choices: Mapping[str, str]) -> dict[str, Any]:
    """How a cell came to be: the last part of its result.json."""
    return {"overrides": _overridden(cfg, choices), "config": experiment_of(cfg)}


def _overridden(cfg: DictConfig, choices: Mapping[str, str]) -> dict[str, Any]:
    """{key: value} of what the command line, or a sweep, changed in the config of this job."""
    changed = {}
    given = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []  # none: fitted from Python
    for override in OverridesParser.create().parse_overrides(given):
        key = override.key_or_group
        if override.package is None and key in choices:
            changed[key] = choices[key]
        elif override.package is None and (value := OmegaConf.select(cfg, key)) is not None:
            changed[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return changed


def cell_name(cfg: DictConfig, choices: DictConfig) -> str:
    """`<task>-<net>-<picture>-<hash8>`; a baseline's name stands for the net's."""
    picture = re.sub(r"[^\w.]+", "_", picture_name(cfg)).strip("._")[:60] or "picture"
    method = choices.baseline if cfg.baseline else choices.net
    return f"{choices.task}-{method}-{picture}-{config_hash(cfg)}"


def enter() -> None:
    """Work where the command was typed: relative paths mean that folder. For workers that Ray starts elsewhere."""
    os.chdir(os.environ["DIP_LAB_CWD"])


def register_resolvers() -> None:
    """Teach OmegaConf `${cell:}`, the name of this run's folder, and `${either:${faithful},32,1}`."""
    OmegaConf.register_new_resolver("either", lambda this, first, second: first if this else second, replace=True)
    OmegaConf.register_new_resolver(
        "cell", lambda *, _root_: cell_name(_root_, _root_.hydra.runtime.choices), replace=True
    )


def read_result(folder: Path) -> dict[str, Any] | None:
    """The summary of a run, or None while there is none."""
    try:
        return json.loads((folder / RESULT).read_text())
    except FileNotFoundError:
        return None


def begin(folder: Path, known: dict[str, Any]) -> None:
    """Say in result.json that a cell has begun, unless an interrupted fit left its scores there."""
    (folder / ERROR).unlink(missing_ok=True)
    result = read_result(folder)
    if result is None or result["status"] == "failed":
        write_json(folder / RESULT, {**known, "status": "unfinished"})


def record_failure(folder: Path, known: dict[str, Any], error: Exception) -> None:
    """Say in result.json that a cell failed, and in error.txt where; unless there is no room even for that."""
    try:
        write_atomic(folder / ERROR, "".join(traceback.format_exception(error)).encode())
        write_json(folder / RESULT, {**known, "status": "failed", "error": one_line(error)})
    except OSError as failure:
        if not isinstance(error, OSError):  # else the disk is full, and the error itself says so
            log.error("%s", one_line(failure))


def settled(folder: Path, retry_failed: bool) -> dict[str, Any] | None:
    """The summary of a cell that need not be computed: it is done, or it failed and is not to be tried again."""
    result = read_result(folder)
    final = ("done",) if retry_failed else ("done", "failed")
    return result if result and result["status"] in final else None


def start_over(folder: Path) -> None:
    """Remove what an earlier fit left in the folder, but for the lock and Hydra's record."""
    for entry in folder.iterdir():
        if entry.name in (LOCK, ".hydra", "dip_lab.log"):
            continue
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


class Claimed(ValueError):
    """Another process is computing this very cell."""


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold a run's folder; the claim of a process that died, however it died, is free again.

    The lock is the operating system's own (flock), so it also holds between machines that share a folder by NFS.

    Raises:
        Claimed: another process holds it.
    """
    with open(folder / LOCK, "a+") as lock:
        if not (_lock(lock, fcntl.LOCK_EX) or time.sleep(LOOK) or _lock(lock, fcntl.LOCK_EX)):
            lock.seek(0)
            owner = lock.read().strip() or "?"
            raise Claimed(f"{folder} is being computed by process {owner}: wait for it, or change the experiment")
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def is_claimed(folder: Path) -> bool:
    """Whether a living process is computing a cell."""
    try:
        with open(folder / LOCK) as lock:
            return not _lock(lock, fcntl.LOCK_SH)  # given back at once
    except FileNotFoundError:
        return False


def _lock(file: IO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
