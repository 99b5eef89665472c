"""Killed at any moment, or out of room at any write, a run ends as one that was left alone, and leaves nothing."""

import random
import signal

import pytest
from lives import SWEEP, alone, cell, content, fault_of, lives  # noqa: F401

pytestmark = pytest.mark.campaign
KILLS, ROOMS, SHARES = 40, 60, 4


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


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_each_write(share, lives, alone, tmp_path, tally):  # noqa: F811
    t = tally(f"killed at each call that changes a file, {share + 1} of {SHARES}: equal bit for bit, nothing left")
    for number in range(1 + share, alone[1] + 1, SHARES):
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
        fault = f"{loud}: {said[-300:]}" if loud else fault_of(lives, folder, alone[0], *SWEEP, "retry_failed=true")
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
