"""A full disk beside a run that goes on: the device `full` of Linux has no room for a byte."""

import logging
import os
import subprocess
import sys

import pytest

from dip_lab.streams import LogFile, keep_open


@pytest.fixture
def logger(monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logger = logging.Logger("full")
    yield logger
    for handler in logger.handlers:
        try:
            handler.close()
        except OSError:
            pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="not Linux")
def test_a_log_without_room_is_silent(logger, capsys):
    keep_open()
    logger.addHandler(LogFile("/dev/full"))
    logger.warning("no room")
    assert "Logging error" not in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="not Linux")
def test_output_without_room_ends_nothing():
    code = "from dip_lab.streams import keep_open; keep_open(); print('x' * 10_000, flush=True); exit(7)"
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (7, "")


def test_the_log_is_not_written_through_a_link(command, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run" / "dip_lab.log").symlink_to(tmp_path / "mine")
    code, said = command("hydra.run.dir=run", "baseline=median", "data.size=16", "logger=none")
    assert code == 2 and said.count("\n") == 1 and "dip_lab.log" in said
    assert (tmp_path / "mine").read_text() == "mine"
