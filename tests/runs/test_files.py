"""What a process that died was writing goes, what a living one writes stays, and no name leads elsewhere."""

import fcntl
import os

import pytest

from dip_lab.results.history import History
from dip_lab.runs.claims import is_claimed
from dip_lab.runs.files import appearing, remove_abandoned, write_atomic


def test_what_a_process_was_writing_when_it_died_is_removed_by_the_next_write(tmp_path):
    (tmp_path / ".dip_lab-abandoned").write_bytes(b"half")
    (tmp_path / ".mine").touch()
    write_atomic(tmp_path / "new.txt", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {".mine", "new.txt"}


def test_what_is_being_written_stays(tmp_path):
    with appearing(tmp_path / "large") as file:
        file.write(b"first half, ")
        write_atomic(tmp_path / "small", b"whole")
        file.write(b"second half")
    assert (tmp_path / "large").read_bytes() == b"first half, second half"
    assert {path.name for path in tmp_path.iterdir()} == {"large", "small"}


def test_a_file_that_was_taken_for_abandoned_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    lock, calls = fcntl.flock, []

    def late(file, kind):
        if not calls:
            calls.append(1)
            remove_abandoned(tmp_path)
        lock(file, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    write_atomic(tmp_path / "new", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["new"] and (tmp_path / "new").read_bytes() == b"whole"


def test_a_link_in_the_place_of_an_abandoned_file_is_not_followed(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / ".dip_lab-link").symlink_to(tmp_path / "mine")
    remove_abandoned(tmp_path)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_rows_are_not_appended_through_a_link(tmp_path):
    (tmp_path / "history.csv").symlink_to(tmp_path / "mine")
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(OSError, match="history.csv"):
        History(["iteration"], tmp_path / "history.csv").append({"iteration": 1})
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_pipe_in_the_place_of_a_lock_does_not_block(tmp_path):
    os.mkfifo(tmp_path / ".dip_lab.lock")
    assert not is_claimed(tmp_path)
