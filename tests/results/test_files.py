import csv
import json
import math
import os

import pytest

from dip_lab.results.history import History
from dip_lab.runs.files import write_atomic, write_json

COLUMNS = ["iteration", "seconds", "loss"]


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_failed_write_leaves_the_old_content(failing, error, tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_atomic(path, b"old")

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(type(error)) as raised:
            write_atomic(path, b"new and longer")
    if isinstance(error, OSError):
        assert raised.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_write_atomic_makes_the_folder_and_a_readable_file(tmp_path):
    path = tmp_path / "a" / "b.png"
    write_atomic(path, b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o644


def test_json_says_null_for_what_it_cannot_say(tmp_path):
    write_json(tmp_path / "x.json", {"a": math.nan, "b": [math.inf, 1.5, {"c": -math.inf}], "d": None, "e": 2})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == {"a": None, "b": [None, 1.5, {"c": None}], "d": None, "e": 2}
    assert "NaN" not in text and "Infinity" not in text


@pytest.fixture
def history(tmp_path):
    history = History(COLUMNS, tmp_path / "history.csv")
    history.resume(0)
    for iteration in (1, 5, 10, 15):
        loss = math.nan if iteration == 5 else 0.1 / iteration
        history.append({"iteration": iteration, "seconds": iteration / 7, "loss": loss})
    return history


def test_rows_are_on_disk_at_once_and_nan_is_an_empty_field(history):
    with open(history.path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["1", "5", "10", "15"]
    assert rows[1]["loss"] == ""
    assert float(rows[2]["loss"]) == 0.1 / 10  # every digit


@pytest.mark.parametrize(("start", "count"), [(0, 0), (1, 1), (12, 3), (15, 4), (99, 4)])
def test_resume_keeps_the_rows_up_to_the_checkpoint(start, count, history):
    again = History(COLUMNS, history.path)
    again.resume(start)
    assert str(again.rows) == str(history.rows[:count])  # equal, and NaN where NaN was
    assert len(history.path.read_text().splitlines()) == 1 + count
    again.append({"iteration": 100, "seconds": 1.0, "loss": 2.0})
    assert history.path.read_text().splitlines()[-1] == "100,1.0,2.0"


@pytest.mark.parametrize("torn", ["2", "20,0.", "20,1.0,0.5,7", "\0\0\0\0", "x,y,z", ",,"])
def test_a_torn_last_line_is_left_out(torn, history):
    with open(history.path, "a") as file:
        file.write(torn)
    again = History(COLUMNS, history.path)
    again.resume(99)
    assert [row["iteration"] for row in again.rows] == [1, 5, 10, 15]


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    history = History(COLUMNS, None)
    history.resume(0)
    history.append({"iteration": 1, "loss": 0.5})
    assert os.listdir(tmp_path) == []
    assert history.column("loss") == [0.5] and math.isnan(history.column("seconds")[0])


def test_the_peak_is_the_first_largest_finite_value(tmp_path):
    history = History(["iteration", "psnr"], None)
    assert history.peak("psnr") is None
    for iteration, psnr in enumerate([math.nan, 20.0, 25.0, math.inf, 25.0], 1):
        history.append({"iteration": iteration, "psnr": psnr})
    assert history.peak("psnr") == (25.0, 3)
