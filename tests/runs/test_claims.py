"""A claim ends with its process, also on a file system that has no locks."""

import errno
import fcntl
import os
import socket
import subprocess
import sys

import pytest

from dip_lab.runs import claims
from dip_lab.runs.claims import LOCK, OWNER, Claimed, claim, is_claimed


@pytest.fixture(params=[None, errno.ENOSYS, errno.ENOLCK], ids=["flock", "ENOSYS", "ENOLCK"])
def locks(request, monkeypatch):
    """The file system's locks, or the error that they raise."""
    def refuse(file, kind):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(claims, "_warned", False)
    if request.param:
        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


def test_a_folder_is_held_by_one(tmp_path, locks, caplog):
    assert not is_claimed(tmp_path)
    with claim(tmp_path):
        assert is_claimed(tmp_path)
        with pytest.raises(Claimed, match=f"is being computed by process {os.getpid()}"), claim(tmp_path):
            pass
    assert not is_claimed(tmp_path)
    with claim(tmp_path):
        pass
    warned = [record.message for record in caplog.records]
    assert len(warned) == bool(locks) and all(str(tmp_path) in line and "has no locks" in line for line in warned)


@pytest.mark.parametrize("machine", ["here", "another"])
def test_a_dead_owner_holds_nothing_on_its_own_machine(tmp_path, locks, machine):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    name = socket.gethostname() if machine == "here" else "another"
    (tmp_path / LOCK).write_text(str(dead.pid))
    (tmp_path / OWNER).write_text(f"{dead.pid} on {name}")
    if locks and machine == "another":
        with pytest.raises(Claimed, match=f"{dead.pid} on another .if it does not run any more, remove"):
            claim(tmp_path).__enter__()
    else:
        assert not is_claimed(tmp_path)
        with claim(tmp_path):
            assert is_claimed(tmp_path)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / LOCK).symlink_to("mine.txt")
    with pytest.raises(OSError, match=LOCK), claim(tmp_path):
        pass
    assert (tmp_path / "mine.txt").read_text() == "mine"
