"""What a run's folder says, also when its record is damaged or another program's."""

import json

import pytest

from dip_lab.runs import folder as folders
from dip_lab.runs.folder import has_record, is_foreign, is_unreadable, read_result, record_failure, settled


@pytest.fixture(autouse=True)
def nothing_named():
    folders._name.cache_clear()


@pytest.mark.parametrize("text", ['{"status": "do', "", "\x00\x01", "[" * 100_000])
def test_a_damaged_record_is_named_once_and_counts_as_unfinished(text, tmp_path, caplog):
    (tmp_path / "result.json").write_text(text)
    for _ in range(3):
        assert read_result(tmp_path) is None and settled(tmp_path, False) is None
    (record,) = caplog.records
    assert f"{tmp_path / 'result.json'} cannot be read" in record.message and "unfinished" in record.message
    assert has_record(tmp_path) and not is_foreign(tmp_path)


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "5", "null", '{"status": 7}'])
def test_the_record_of_another_program_is_left_alone(text, tmp_path, caplog):
    (tmp_path / "result.json").write_text(text)
    assert read_result(tmp_path) is None and is_foreign(tmp_path) and not has_record(tmp_path)
    record_failure(tmp_path, {}, ValueError("no"))
    assert (tmp_path / "result.json").read_text() == text and not (tmp_path / "error.txt").exists()
    assert ["was not written by dip_lab" in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("wrong", [
    {"psnr": "abc"}, {"psnr": True}, {"psnr": float("nan")}, {"psnr": 10**400}, {"config": []}, {"overrides": 5},
    {"iterations": 2.5}, {"parts": 5}, {"parts": [5]}, {"answer": "../x"}, {"answer": ".."}, {"status": "abc"},
    {"own_scores": [{"key": "a"}]}, {"own_scores": [{"key": "a", "name": "A"}], "a": "x"}, {"psnr_output": "x"},
    {"seed": "1"}, {"net": 5}, {"task": None}, {"oracle": 1}, {"noise_estimate": []},
    {"config": {"a": json.loads("[" * 60 + "]" * 60)}},
])
def test_a_record_with_a_field_of_another_type_counts_as_unfinished(wrong, tmp_path, caplog):
    (tmp_path / "result.json").write_text(json.dumps({"status": "done", **wrong}))
    assert read_result(tmp_path) is None and is_unreadable(tmp_path) and has_record(tmp_path)
    assert settled(tmp_path, False) is None
    (record,) = caplog.records
    assert "unfinished" in record.message and "\n" not in record.message


def test_a_field_may_be_missing_or_null_and_others_may_be_anything(tmp_path):
    record = {"status": "done", "iterations": None, "parts": None, "mine": [[1]], "seed": 3,
              "own_scores": [{"key": "a", "name": "A", "decimals": 1}], "a": 1.5}
    (tmp_path / "result.json").write_text(json.dumps(record))
    assert read_result(tmp_path) == record and not is_unreadable(tmp_path)


def test_half_of_a_character_becomes_a_question_mark(tmp_path):
    (tmp_path / "result.json").write_text('{"status": "done", "picture": "caf\\udce9", "net": "\\ud83d\\ude00"}')
    assert read_result(tmp_path) == {"status": "done", "picture": "caf?", "net": "\U0001f600"}
