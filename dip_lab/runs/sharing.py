"""How many fits run on this machine's cores at this moment. No torch.

Two fits of two threads each on two cores are four times slower than one: a thread that waits for another one spins, and
keeps the core from it. So fits that start at the same time share the cores.
"""

import contextlib
import fcntl
import json
import os
from typing import IO

from dip_lab.runs.files import no_link
from dip_lab.runs.private import FOLDER, private_folder

_own: int | None = None  # an open file, locked for as long as this process lives


def announce() -> None:
    """Let other fits know of this process; call it before torch is imported, so that two that start at once meet."""
    global _own
    if _own is None:
        with contextlib.suppress(OSError):  # a machine whose temporary folder cannot be written shares nothing
            path = private_folder(FOLDER) / str(os.getpid())
            _own = no_link(path, os.O_WRONLY | os.O_CREAT)
            fcntl.flock(_own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(_own, 0)
            os.write(_own, json.dumps(_cores()).encode())


def fits_at_once() -> int:
    """This process and all others that announced themselves, live, and may use one of its cores."""
    count, mine = 1, set(_cores())
    with contextlib.suppress(OSError):
        for path in private_folder(FOLDER).iterdir():
            if path.name == str(os.getpid()):
                continue
            with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8", opener=no_link) as other:
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
