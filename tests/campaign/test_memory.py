"""A fit and a sweep under limits on the memory of a process, from hopeless to plenty."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.campaign
ROOT = Path(__file__).resolve().parents[2]
TINY = ["data.size=32", "net.width=4", "net.depth=2", "iterations=3", "stopping=fixed", "logger=none", "threads=1"]
LARGE = ["data.size=512", "net=skip", "iterations=1", "stopping=fixed", "logger=none", "threads=1", "precision=float32"]
CASES = [(kind, size, TINY) for kind, sizes in (("AS", (100, 300, 700, 1000, 1400, 1540, 2000)),
                                                ("DATA", (32, 60, 200, 400, 700, 770, 1000))) for size in sizes]
CASES += [(kind, size, LARGE) for kind, sizes in (("AS", (1700, 2000, 2400, 2800)), ("DATA", (800, 1000, 1400)))
          for size in sizes]


def limited(kind: str, mebibytes: int, arguments: list[str], folder: Path) -> tuple[int, str]:
    """(exit code, all that it printed) of a command under a limit."""
    done = subprocess.run([sys.executable, "-m", "dip_lab", *arguments, "hydra.run.dir=run"], cwd=folder, text=True,
                          capture_output=True, timeout=240, env={**os.environ, "PYTHONPATH": str(ROOT)},
                          preexec_fn=lambda: resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"),
                                                                (mebibytes << 20, mebibytes << 20)))
    return done.returncode, done.stdout + done.stderr


def status(folder: Path) -> str:
    try:
        return json.loads((folder / "result.json").read_text())["status"]
    except (OSError, ValueError, KeyError):
        return "no record"


def fault(code: int, printed: str, found: str) -> str | None:
    """What is wrong with how a fit ended."""
    if "Traceback" in printed:
        return f"a traceback: {printed[-200:]}"
    if (code, found) == (0, "done"):
        return None
    complaints = [line for line in printed.splitlines() if "memory" in line and "free" not in line.split()[-1:]]
    if code != 2 or found != "failed" or len(complaints) != 1:
        return f"exit code {code}, {found}, {complaints or printed[-200:]}"
    return None


@pytest.mark.parametrize("half", [0, 1])
def test_a_fit(tally, tmp_path, half):
    count = tally(f"a fit under a limit on memory, {('first', 'second')[half]} half")
    for number, (kind, size, arguments) in enumerate(CASES[half::2]):
        folder = tmp_path / str(number)
        folder.mkdir()
        code, printed = limited(kind, size, arguments, folder)
        count.add((kind, size, arguments[0]), fault(code, printed, status(folder / "run")))
    count.conclude()


def test_a_sweep(tally, tmp_path):
    """Every cell has a record; the smallest limits leave no room for the tables at its end."""
    count = tally("a sweep under a limit on memory")
    for kind, size in (("AS", 200), ("AS", 900), ("AS", 1540), ("DATA", 100), ("DATA", 500), ("DATA", 780)):
        folder = tmp_path / f"{kind}{size}"
        folder.mkdir()
        code, printed = limited(kind, size, ["-m", "seed=0,1", "hydra.sweep.dir=sweep", *TINY], folder)
        found = [status(cell.parent) for cell in folder.rglob("result.json")]
        bad = "Traceback" in printed or code not in (0, 1) or len(found) != 2 or set(found) - {"done", "failed"}
        count.add((kind, size), f"exit code {code}, {found}: {printed[-300:]}" if bad else None)
    count.conclude()
