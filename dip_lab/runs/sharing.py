"""How many fits run on this machine's cores at this moment. No torch.

Two fits of two threads each on two cores are four times slower than one: a thread that waits for another one spins, and
keeps the core from it. So fits that start at the same time share the cores.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import IO

FOLDER = Path(tempfile.gettempdir()) / f"dip_lab-{os.getuid()}"
_own: int | None = None  # an open file, locked for as long as this process lives


def announce() -> None:
    """Let other fits know of this process; call it before torch is imported, so that two that start at once meet."""
    global _own
    if _own is None:
        with contextlib.suppress(OSError):  # a machine whose temporary folder cannot be written shares nothing
            FOLDER.mkdir(mode=0o700, exist_ok=True)
            _own = os.open(FOLDER / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            fcntl.flock(_own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(_own, json.dumps(_cores()).encode())


def fits_at_once() -> int:
    """This process and all others that announced themselves, live, and may use one of its cores."""
    count, mine = 1, set(_cores())
    with contextlib.suppress(OSError):
        for path in FOLDER.iterdir():
            if path.name == str(os.getpid()):
                continue
            with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as other:
                if _is_locked(other):
                    count += bool(mine & set(json.load(other)))
                else:
                    path.unlink()
    return count


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def _is_locked(file: IO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
