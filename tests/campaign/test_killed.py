"""Killed at any moment, or out of room at any write, a run ends as one that was left alone, and leaves nothing."""

import csv
import json
import random
import signal

import pytest
from lives import TINY, cell, hidden, lives  # noqa: F401

pytestmark = pytest.mark.campaign
KILLS, ROOMS = 40, 60
SWEEP = ("-m", "seed=3", *TINY)
VARYING = ("seconds", "seconds_per_iteration", "peak_memory_mb", "overrides")


def content(folder):
    """What must be equal bit for bit: the picture, the history and the record, without the times."""
    result = json.loads((folder / "result.json").read_text())
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    pictures = {path.name: path.read_bytes() for path in folder.glob(f"{result['answer']}.*")}
    weights = (folder / "checkpoints" / "weights.pt").read_bytes()
    return pictures, weights, [{k: v for k, v in row.items() if k != "seconds"} for row in rows], \
        {k: v for k, v in result.items() if k not in VARYING}


@pytest.fixture(scope="module")
def alone(lives, tmp_path_factory):  # noqa: F811
    """(the content, the changes of files and the seconds of an undisturbed run)."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    code, said, changes = lives(folder, *SWEEP)
    assert code == 0, said
    return content(cell(folder)), changes


def fault_of(lives, folder, alone):  # noqa: F811
    """What is wrong after the command is given again in a folder; None: nothing."""
    code, said, _ = lives(folder, *SWEEP)
    if code != 0 or "Traceback" in said:
        return f"exit code {code}: {said[-300:]}"
    if content(cell(folder)) != alone:
        return "another result"
    return f"left behind: {left}" if (left := hidden(folder)) else None


def test_killed_at_random(lives, alone, tmp_path, tally):  # noqa: F811
    t, dice = tally("killed at a random moment, continued: equal bit for bit, nothing left"), random.Random(20)
    _, said, _ = lives(tmp_path / "warm", *SWEEP)
    for number in range(KILLS):
        folder, died = tmp_path / f"{number}", 0
        for _ in range(dice.choice((1, 1, 2, 3))):
            code, said, _ = lives(folder, *SWEEP, signal=signal.SIGKILL, after=dice.uniform(0.1, 1.6))
            died += code == -signal.SIGKILL
        t.add(f"{number}, died {died} times", fault_of(lives, folder, alone[0]))
    t.conclude()


def test_killed_at_each_write(lives, alone, tmp_path, tally):  # noqa: F811
    t = tally("killed at each call that changes a file: equal bit for bit, nothing left")
    for number in range(1, alone[1] + 1):
        folder = tmp_path / f"{number}"
        code, said, _ = lives(folder, *SWEEP, kills=number)
        fault = fault_of(lives, folder, alone[0])
        t.add(f"call {number}", fault if code == -signal.SIGKILL else f"exit code {code}: {said[-200:]}")
    t.conclude()


def test_no_room(lives, alone, tmp_path, tally):  # noqa: F811
    """The disk is full from some call on, or at one; or a file may not become larger. Then there is room again."""
    t, dice = tally("no room from some write on: said in few lines, then equal bit for bit"), random.Random(21)
    calls = sorted(dice.sample(range(1, alone[1] + 1), min(alone[1], ROOMS // 2)))
    fates = [{"fills": n} for n in calls] + [{"fills": n, "only": True} for n in calls]
    fates += [{"bytes": n} for n in (0, 1, 100, 1000, 2000, 5000, 10_000, 30_000)]
    for number, fate in enumerate(fates):
        folder = tmp_path / f"{number}"
        code, said, _ = lives(folder, *SWEEP, **fate)
        loud = [word for word in ("Traceback", "Logging error", "Exception ignored") if word in said]
        fault = f"{loud}: {said[-300:]}" if loud else fault_of(lives, folder, alone[0])
        t.add(f"{fate}", fault)
    t.conclude()


def test_no_room_keeps_what_is_done(lives, alone, tmp_path, tally):  # noqa: F811
    """A finished run is fitted on (another format of the answer) while the disk is full: what was there is intact."""
    t = tally("no room beside a finished run: it is intact")
    folder = tmp_path / "run"
    lives(folder, *SWEEP)
    for number in range(1, 12):
        code, said, _ = lives(folder, *SWEEP, "answer=tiff", fills=number)
        loud = [word for word in ("Traceback", "Logging error") if word in said]
        now = content(cell(folder))
        intact = (now[0].items() >= alone[0][0].items()) and now[1:] == alone[0][1:]
        t.add(f"call {number}", f"{loud}: {said[-300:]}" if loud else None if intact else "changed")
    t.conclude()
