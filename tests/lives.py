"""Many lives and deaths of `run.py`, each a fork of one warm process: importing torch takes seconds.

The warm process has computed nothing: after a backward pass torch refuses to fork. It reads a life as a line of JSON
and answers with one: the exit code (negative for a signal) and how many of its calls changed a file.
"""

import contextlib
import csv
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = ("data.size=16", "net.width=4", "net.depth=2", "iterations=20", "log_every=5", "log_every_image=10",
        "logger=none", "device=cpu", "precision=float32", "callbacks.checkpoint.seconds=0", "callbacks.guard.every=5",
        "callbacks.preview.seconds=0.05", "stopping=fixed", "threads=1")
SWEEP = ("-m", "seed=3", *TINY)
VARYING = ("seconds", "seconds_per_iteration", "peak_memory_mb", "overrides")
CHANGES = ("os.rename", "os.remove", "os.chmod", "os.mkdir", "os.rmdir", "os.truncate")
LIMIT = 100  # seconds of one life


class Lives:
    """Starts the warm process, and hands lives to it."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, __file__], env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True)

    def __call__(self, folder: Path, *arguments: str, **fate: Any) -> tuple[int, str, int]:
        """(exit code, all it printed, calls that changed a file) of `run.py arguments` in a folder.

        Args:
            fate: `kills=n`: SIGKILL instead of the nth change of a file; `fills=n`: no room from the nth on;
                `fills=n, only=true`: at the nth alone; `bytes=n`: no file may become larger; `signal=2, after=0.3`:
                that signal after so many seconds; `patch="..."`: Python that is run before the program;
                `beside=true`: it is not waited for: (its process, "", 0).
        """
        folder.mkdir(parents=True, exist_ok=True)
        said = folder.with_name(f"{folder.name}-{time.monotonic_ns()}.said")
        job = {"folder": str(folder), "said": str(said), "arguments": arguments, **fate}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        code, changes = json.loads(self.process.stdout.readline())
        return code, "" if fate.get("beside") else said.read_text(encoding="utf-8", errors="replace"), changes

    def end(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def lives():
    lives = Lives()
    yield lives
    lives.end()


def hidden(folder: Path) -> list[str]:
    """The temporary files that are left below a folder."""
    ours = (".dip_lab.lock", ".hydra", ".submitit")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name not in ours)


def cell(folder: Path) -> Path:
    """The only cell below `outputs` there."""
    (found,) = {path.parent for path in folder.glob("outputs/*/*/result.json")}
    return found


def content(folder: Path) -> tuple:
    """What must be equal bit for bit: the picture, the weights, the history and the record, without the times."""
    result = json.loads((folder / "result.json").read_text())
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    pictures = {path.name: path.read_bytes() for path in folder.glob(f"{result['answer']}.*")}
    weights = (folder / "checkpoints" / "weights.pt").read_bytes()
    return pictures, weights, [{k: v for k, v in row.items() if k != "seconds"} for row in rows], \
        {k: v for k, v in result.items() if k not in VARYING}


@pytest.fixture(scope="module")
def alone(lives, tmp_path_factory):
    """(the content of an undisturbed run's folder, the calls in it that changed a file)."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    code, said, changes = lives(folder, *SWEEP)
    assert code == 0, said
    return content(cell(folder)), changes


def fault_of(lives: Lives, folder: Path, expected: tuple, *command: str) -> str | None:
    """What is wrong after the command is given again in a folder; None: nothing."""
    code, said, _ = lives(folder, *(command or SWEEP))
    if code != 0 or "Traceback" in said:
        return f"exit code {code}: {said[-300:]}"
    if content(cell(folder)) != expected:
        return "another result"
    return f"left behind: {left}" if (left := hidden(folder)) else None


def _serve() -> None:
    sys.path.insert(0, str(ROOT))
    from dip_lab import cli, experiment  # noqa: F401  imports torch
    from dip_lab.results.restoration import Restoration
    from dip_lab.tables import comparison, report  # noqa: F401

    for plot in ("curves", "panel"):  # slow, and tested elsewhere
        setattr(Restoration, plot, lambda self: b"a plot")
    comparison.comparison_png = lambda curves: b"a plot"
    for line in sys.stdin:
        job, read_end, write_end = json.loads(line), *os.pipe()
        child = os.fork()
        if child == 0:
            _live(job, write_end)
        os.close(write_end)
        answer = [child, 0]
        if not job.get("beside"):
            answer = [_waited(child, job), int.from_bytes(os.read(read_end, 8), "little")]
        os.close(read_end)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _waited(child: int, job: dict[str, Any]) -> int:
    began, struck = time.monotonic(), "signal" not in job
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        lived = time.monotonic() - began
        if not struck and lived >= job["after"]:
            os.kill(child, job["signal"])
            struck = True
        if lived > LIMIT:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(ended[1])


def _live(job: dict[str, Any], report: int) -> None:
    """Never returns."""
    code = 99
    try:
        out = os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for number in (1, 2):
            os.dup2(out, number)
        sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", closefd=False)
        os.setpgid(0, 0)
        os.chdir(job["folder"])
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        changes = _fated(job)
        code = _run(job)
        os.write(report, changes[0].to_bytes(8, "little"))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def _run(job: dict[str, Any]) -> int:
    from dip_lab import cli

    os.environ["HYDRA_FULL_ERROR"] = "0"
    sys.argv = ["run.py", *job["arguments"]]
    exec(job.get("patch", ""), {})
    return cli.main()


def _fated(job: dict[str, Any]) -> list[int]:
    """Counts what changes a file in the life's folder, and lets one of these calls be the last, or fail."""
    changes, place, write = [0], job["folder"], os.O_WRONLY | os.O_RDWR

    def counted() -> None:
        changes[0] += 1
        if changes[0] == job.get("kills"):
            os.kill(os.getpid(), signal.SIGKILL)
        fills = job.get("fills")
        if fills and (changes[0] == fills if job.get("only") else changes[0] >= fills):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def watch(event: str, arguments: tuple) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & write):
            name = os.path.abspath(os.fsdecode(arguments[0])) if not isinstance(arguments[0], int) else ""
            if name.startswith(place) and not name.endswith("/.dip_lab.lock") and event != "os.remove":
                counted()
            elif name.startswith(place) and event == "os.remove" and "fills" not in job:
                counted()  # there is always room to remove

    sync = os.fsync

    def fsync(number: int) -> None:
        counted()
        sync(number)

    os.fsync = fsync
    sys.addaudithook(watch)
    if "bytes" in job:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["bytes"], job["bytes"]))
    return changes


if __name__ == "__main__":
    _serve()
