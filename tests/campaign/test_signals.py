"""SIGINT, SIGTERM and SIGHUP at any moment: the exit code of the signal, no traceback, and continued as undisturbed."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from lives import ROOT, SWEEP, alone, fault_of, lives  # noqa: F401

pytestmark = pytest.mark.campaign
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOUD = ("Traceback", "Exception ignored", "Logging error", "Error", "KeyboardInterrupt")


def fault_in(code, said, number):
    if code not in (128 + number, -number):
        return f"exit code {code}: {said[-300:]}"
    loud = [word for word in LOUD if word in said]
    return f"{loud}: {said[-300:]}" if loud else None


def test_at_any_moment(lives, alone, tmp_path, tally):  # noqa: F811
    """Of a run and of a sweep, from composing to the tables."""
    t, dice = tally("a signal at a random moment: its exit code, no traceback, continued equal"), random.Random(22)
    for number in range(48):
        struck, folder = SIGNALS[number % 3], tmp_path / f"{number}"
        command = SWEEP if number % 2 else SWEEP[1:]
        code, said, _ = lives(folder, *command, signal=struck, after=dice.uniform(0.02, 1.5))
        fault = fault_in(code, said, struck) if code else None  # 0: it had ended
        t.add(f"{number}: {struck.name}", fault or fault_of(lives, folder, alone[0], *command))
    t.conclude()


def test_while_it_is_imported(tmp_path, tally):
    """Real processes, from the interpreter's start to the first steps of composing."""
    t, dice = tally("a signal while Python imports the program: its exit code, no traceback"), random.Random(23)
    for number in range(24):
        struck = SIGNALS[number % 3]
        process = subprocess.Popen([sys.executable, str(ROOT / "run.py"), *SWEEP], cwd=tmp_path, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        time.sleep(dice.uniform(0.15, 4.0))
        process.send_signal(struck)
        said = process.communicate(timeout=120)[0]
        t.add(f"{number}: {struck.name}", fault_in(process.returncode, said, struck))
    t.conclude()
