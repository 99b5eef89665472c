"""Who may work in a run's folder. No torch."""

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dip_lab.runs.files import no_link

log = logging.getLogger(__name__)
LOCK = ".dip_lab.lock"
OWNER = ".dip_lab.owner"  # on a file system that has no locks
LOOK = 0.05  # seconds: longer than `is_claimed` holds a lock
_warned = False


class Claimed(ValueError):
    """Another process is computing this very cell."""


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold a run's folder; when a process dies, in whatever way, its claim ends.

    The lock is the operating system's own (flock), so it also holds between machines that share a folder by NFS. Where
    the file system has no such locks, a file with the owner's name takes its place: a dead owner's claim ends too, but
    only on its own machine.

    Raises:
        Claimed: another process holds it.
        OSError: the folder cannot be written, or its lock is a link.
    """
    descriptor = no_link(folder / LOCK, os.O_RDWR | os.O_CREAT)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as lock:
        try:
            held = not (_lock(lock, fcntl.LOCK_EX) or time.sleep(LOOK) or _lock(lock, fcntl.LOCK_EX))
        except OSError as error:
            _warn(folder, error)
            with _owned(folder):
                yield
            return
        if held:
            raise _claimed(folder, lock.read().strip() or "?")
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def is_claimed(folder: Path) -> bool:
    """Whether a living process is computing a cell."""
    try:
        with open(folder / LOCK, encoding="utf-8", opener=no_link) as lock:
            return not _lock(lock, fcntl.LOCK_SH)  # released at once
    except FileNotFoundError:
        return False
    except OSError:
        return _owner(folder) is not None


def _lock(file: IO, kind: int) -> bool:
    """Whether the lock was free.

    Raises:
        OSError: the file system has no locks (ENOSYS, ENOLCK, EOPNOTSUPP).
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    path = folder / OWNER
    if owner := _owner(folder):
        raise _claimed(folder, f"{owner} (if it does not run any more, remove {path})")
    path.unlink(missing_ok=True)  # of a dead owner
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:  # another process was quicker
        raise _claimed(folder, _owner(folder) or "?") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{os.getpid()} on {socket.gethostname()}")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _owner(folder: Path) -> str | None:
    """`<process> on <machine>`, unless it is known to be dead."""
    try:
        with open(folder / OWNER, encoding="utf-8", opener=no_link) as file:
            owner = file.read()
    except FileNotFoundError:
        return None
    number, _, machine = owner.partition(" on ")
    return owner if machine != socket.gethostname() or _lives(number) else None


def _lives(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _claimed(folder: Path, owner: str) -> Claimed:
    return Claimed(f"{folder} is being computed by process {owner}: wait for it, or change the experiment")


def _warn(folder: Path, error: OSError) -> None:
    global _warned
    if not _warned:
        _warned = True
        log.warning("%s: the file system there has no locks (%s): do not start the same run on two machines at once",
                    folder, error.strerror)
