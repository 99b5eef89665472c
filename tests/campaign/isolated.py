"""One case in a process of its own, forked from this warm one: it may hang, eat the memory or die."""

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a case ended.

    Attributes:
        code: the exit code; negative: the signal that ended it; None: it did not end in time.
        said: all that it printed.
        peak: MB that it took beyond what it had when it began.
    """

    code: int | None
    said: str
    peak: float


def isolated(case: Callable[[], int | None], folder: Path, seconds: float = 60, memory: float = 2e9) -> Ended:
    """Run a case in a folder, with at most so much more address space and time. Nothing of it stays in this process.

    This process must not have run a backward pass: the threads of autograd do not live on in a fork.
    """
    folder.mkdir(parents=True, exist_ok=True)
    printed = folder.parent / f"{folder.name}.said"
    child = os.fork()
    if not child:
        _become(case, folder, printed, memory)
    code, peak = _awaited(child, seconds)
    text = printed.read_text(encoding="utf-8", errors="replace")
    printed.unlink()
    return Ended(code, text, peak)


def _become(case: Callable[[], int | None], folder: Path, printed: Path, memory: float) -> None:
    """Run the case and end this process; pytest must not see its end."""
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        descriptor = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(0)
        now = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (int(now + memory), resource.RLIM_INFINITY))
        try:
            code = case() or 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
    finally:
        os._exit(code)


def _awaited(child: int, seconds: float) -> tuple[int | None, float]:
    """(exit code, peak MB) of a process, which is killed when its time is over."""
    began, first = _resident(child), time.monotonic()
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), max(0.0, usage.ru_maxrss / 1024 - began)
        if time.monotonic() - first > seconds:
            os.killpg(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            return None, max(0.0, usage.ru_maxrss / 1024 - began)
        time.sleep(0.005)


def _resident(process: int) -> float:
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1]) * \
            resource.getpagesize() / 2**20
    return 0.0
