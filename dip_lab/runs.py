"""A run's folder: its name, who may work in it, and what is already done there. Imports no torch."""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

RESULT = "result.json"
# What decides where and how a fit is watched, not what it computes.
NOT_THE_EXPERIMENT = ("hydra", "logger", "trainer", "name", "rerun", "device", "experiment")


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
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

    A file named by a key `path` counts by its content, so neither its place nor its name matters.
    """
    experiment = {}
    for key in cfg:
        if key not in NOT_THE_EXPERIMENT:
            value = cfg[key]
            experiment[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return hashlib.sha256(json.dumps(_by_content(experiment), sort_keys=True).encode()).hexdigest()[:8]


def _by_content(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _by_content(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_by_content(item) for item in value]
    if key == "path" and isinstance(value, str):
        path = Path(value)
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return str(path.absolute())
    return value


def cell_name(cfg: DictConfig, choices: DictConfig) -> str:
    """`<task>-<net>-<picture>-<hash8>`."""
    data = cfg.data
    stem = Path(str(data.get("name") or data.get("path") or "picture")).stem
    picture = re.sub(r"[^\w.]+", "_", stem).strip("._")[:60] or "picture"
    return f"{choices.task}-{choices.net}-{picture}-{config_hash(cfg)}"


def register_resolvers() -> None:
    """Teach OmegaConf `${cell:}`: the name of this run's folder."""
    OmegaConf.register_new_resolver(
        "cell", lambda *, _root_: cell_name(_root_, _root_.hydra.runtime.choices), replace=True
    )


def read_result(folder: Path) -> dict[str, Any] | None:
    """The summary of a run, or None while there is none."""
    try:
        return json.loads((folder / RESULT).read_text())
    except FileNotFoundError:
        return None


def done(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished run, or None."""
    result = read_result(folder)
    return result if result and result.get("status") == "done" else None


def start_over(folder: Path) -> None:
    """Remove what an earlier fit left in the folder, but for the lock and Hydra's record."""
    for entry in folder.iterdir():
        if entry.name in (".lock", ".hydra", "dip_lab.log"):
            continue
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold a run's folder; the claim of a process that died, however it died, is free again.

    Raises:
        ValueError: another process is computing this very cell.
    """
    with open(folder / ".lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip() or "?"
            raise ValueError(
                f"{folder} is being computed by process {owner}: wait for it, or change the experiment"
            ) from error
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield
