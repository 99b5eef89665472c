"""Who may work in a run's folder. No torch."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LOCK = ".lock"
LOOK = 0.05  # seconds: longer than `is_claimed` holds a lock


class Claimed(ValueError):
    """Another process is computing this very cell."""


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold a run's folder; when a process dies, in whatever way, its claim ends.

    The lock is the operating system's own (flock), so it also holds between machines that share a folder by NFS.

    Raises:
        Claimed: another process holds it.
    """
    with open(folder / LOCK, "a+", encoding="utf-8") as lock:
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
        with open(folder / LOCK, encoding="utf-8") as lock:
            return not _lock(lock, fcntl.LOCK_SH)  # released at once
    except FileNotFoundError:
        return False


def _lock(file: IO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
