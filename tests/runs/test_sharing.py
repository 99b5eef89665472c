"""Fits that run at once share the cores of the machine."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest
import torch

from dip_lab import machine
from dip_lab.runs import sharing
from dip_lab.runs.private import private_folder

HOLD = """
import sys
from pathlib import Path
from pathlib import Path
from dip_lab.runs import sharing
from dip_lab.runs.private import private_folder
sharing.FOLDER = Path(sys.argv[1])
sharing._cores = lambda: eval(sys.argv[2])
sharing.announce()
print("here", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "FOLDER", tmp_path / "fits")
    monkeypatch.setattr(sharing, "_own", None)
    yield sharing.FOLDER
    if sharing._own is not None:
        os.close(sharing._own)


@pytest.fixture
def start(folder):
    processes = []

    def begin(cores):
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), str(cores)], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == "here\n"
        return process

    yield begin
    for process in processes:
        process.communicate()


def test_those_that_live_and_share_a_core_count(folder, start):
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    sharing.announce()
    assert sharing.fits_at_once() == 1
    first = start(cores)
    start([10_000])  # pinned elsewhere, as on a cluster
    assert sharing.fits_at_once() == 2
    first.kill()
    first.wait()
    assert sharing.fits_at_once() == 1
    assert not (folder / str(first.pid)).exists()


def test_auto_is_a_share_of_the_cores(monkeypatch):
    used = []
    monkeypatch.setattr(machine, "ALL_THREADS", 8)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for fits in (1, 2, 3, 20):
        monkeypatch.setattr(machine, "fits_at_once", lambda fits=fits: fits)
        machine.use_threads("auto")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")  # a launcher or a person has decided
    machine.use_threads("auto")
    assert used == [8, 4, 2, 1, 8]


def test_without_a_folder_nobody_shares(folder):
    folder.write_text("a file in the way")
    sharing.announce()
    assert sharing.fits_at_once() == 1


def test_a_file_system_without_locks_shares_nothing(folder, monkeypatch):
    def refuse(file, kind):
        raise OSError(errno.ENOLCK, "no locks")

    folder.mkdir()
    (folder / "1").write_text(str(sharing._cores()))
    monkeypatch.setattr(fcntl, "flock", refuse)
    sharing.announce()
    assert sharing.fits_at_once() == 1 and (folder / "1").exists()


def test_a_folder_that_others_can_write_to_is_not_used(folder, tmp_path):
    """In the shared temporary folder another user may have made it, with a link under the number of this process."""
    (tmp_path / "mine").write_text("mine")
    folder.mkdir()
    (folder / str(os.getpid())).symlink_to(tmp_path / "mine")
    for mode in (0o777, 0o700):  # where it is this user's own, a link is not followed
        folder.chmod(mode)
        sharing.announce()
        assert sharing._own is None and sharing.fits_at_once() == 1
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_link_or_another_users_folder_is_not_our_own(folder, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="not this user's own folder"):
        private_folder(folder)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="not this user's own folder"):
        private_folder(tmp_path / "elsewhere")
