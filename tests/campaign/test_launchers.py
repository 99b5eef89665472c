"""Sweeps that are disturbed: by another launcher, by a cell that fails or dies, by NaN."""

import contextlib
import json
import math
import os
import random
import signal
import threading
import time

import pytest
from lives import TINY, content, hidden, lives  # noqa: F401

pytestmark = pytest.mark.campaign
SWEEP = ("-m", "seed=0,1,2", *TINY)
WAYS = ("RuntimeError('a bug')", "MemoryError()", "OSError(28, 'No space left on device')", "KeyError('x')",
        "ValueError('a mistake')", "RecursionError('deep')", "StopIteration()", "RuntimeError('CUDA out of memory')")
PLACES = {"before it begins": "experiment.build", "while it fits": "fit.conclude"}
DEATHS = {"exit 3": "os._exit(3)", "SIGKILL": "os.kill(os.getpid(), 9)", "SIGTERM": "os.kill(os.getpid(), 15)",
          "SIGSEGV": "os.kill(os.getpid(), 11)", "SIGHUP": "os.kill(os.getpid(), 1)",
          "SIGINT": "os.kill(os.getpid(), 2)", "abort": "os.abort()"}
IN_JOB_2 = """
import os
from dip_lab import experiment, fit
real = {place}
def struck(first, *rest, **more):
    cell = rest[0] if '{place}'.startswith('experiment') else first.cell
    if cell.seed == 1:
        {act}
    return real(first, *rest, **more)
{place} = struck
"""
NAN_AT = """
from dip_lab.module import DeepImagePrior
real = DeepImagePrior.training_step
def struck(self, batch, *rest):
    if int(batch) == {at} and not getattr(DeepImagePrior, 'struck', False):
        DeepImagePrior.struck = True
        next(self.parameters()).data.fill_(float('nan'))
    return real(self, batch, *rest)
DeepImagePrior.training_step = struck
"""


def contents(folder):
    found = {}
    for path in folder.glob("outputs/*/*/result.json"):
        with contextlib.suppress(OSError, KeyError):
            found[path.parent.name] = content(path.parent)
    return found


@pytest.fixture(scope="module")
def expected(lives, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("alone") / "run"
    code, said, _ = lives(folder, *SWEEP)
    assert code == 0, said
    return contents(folder)


def test_two_launchers_of_which_one_is_killed(lives, expected, tmp_path, tally):  # noqa: F811
    t, dice = tally("two launchers on one sweep, one killed: all cells, equal bit for bit"), random.Random(24)
    for number in range(10):
        folder = tmp_path / f"{number}"
        first, _, _ = lives(folder, *SWEEP, beside=True)
        killer = threading.Timer(dice.uniform(0.2, 3.0), os.kill, (first, signal.SIGKILL))
        killer.start()
        time.sleep(dice.uniform(0.0, 0.5))
        code, said, _ = lives(folder, *SWEEP)
        killer.join()
        fault = f"exit code {code}: {said[-300:]}" if code or "Traceback" in said else None
        if not fault and contents(folder) != expected:
            fault = "another result"
        t.add(number, fault or (f"left behind: {hidden(folder)}" if hidden(folder) else None))
    t.conclude()


def test_job_2_fails_or_dies(lives, expected, tmp_path, tally):  # noqa: F811
    t = tally("job 2 of a sweep fails or dies: the others are done, and the same command ends it")
    cases = {f"{way} {when}": (IN_JOB_2.format(place=place, act=f"raise {way}"), 1) for way in WAYS
             for when, place in PLACES.items()}
    cases |= {f"{name}": (IN_JOB_2.format(place="fit.conclude", act=act), None) for name, act in DEATHS.items()}
    for number, (name, (patch, wanted)) in enumerate(cases.items()):
        folder = tmp_path / f"{number}"
        code, said, _ = lives(folder, *SWEEP, patch=patch)
        fault = None
        if "Traceback" in said or code == 0 or (wanted and code != wanted):
            fault = f"exit code {code}: {said[-300:]}"
        elif wanted and len([c for c in contents(folder).values() if c[3]["status"] == "done"]) != 2:
            fault = "not all others are done"
        code, said, _ = lives(folder, *SWEEP, "retry_failed=true")
        if code or contents(folder) != expected:
            fault = fault or f"then exit code {code}, or another result: {said[-300:]}"
        t.add(name, fault)
    t.conclude()


def test_nan_at_a_step(lives, tmp_path, tally):  # noqa: F811
    t = tally("NaN in the weights at step k: done with a sound picture, or failed; never NaN that is done")
    for at in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18, 20, 22, 25, 30, 39):
        folder = tmp_path / f"{at}"
        code, said, _ = lives(folder, *SWEEP, "seed=3", "iterations=40", patch=NAN_AT.format(at=at))
        results = [json.loads(path.read_text()) for path in folder.glob("outputs/*/*/result.json")]
        sound = len(results) == 1 and (code, results[0]["status"]) in ((0, "done"), (1, "failed"))
        if sound and code == 0:
            sound = math.isfinite(results[0]["psnr"]) and results[0]["psnr"] > 5 and bool(results[0]["guard_events"])
        t.add(at, None if sound and "Traceback" not in said else f"exit code {code}: {said[-300:]}")
    t.conclude()
