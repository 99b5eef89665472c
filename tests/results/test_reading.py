"""Curves and verdicts are read back from files that may be damaged."""

import math

import pytest

from dip_lab.results.history import COLUMNS, History, read_rows
from dip_lab.results.verdicts import Verdict, as_csv, read_verdicts

HEADING = "iteration,seconds,loss,psnr,psnr_average,ssim,statistic\n"


@pytest.mark.parametrize("text", [
    "", "\n", HEADING, "a,b\n1,2\n", HEADING + "x,1,1,1,1,1,1\n", HEADING + "inf,1,1,1,1,1,1\n", HEADING + "1,2\n",
    HEADING + '"1,2\n' * 3, HEADING + "1" * 200_000 + "\n", "\x00\x01"])
def test_what_is_no_row_of_numbers_is_left_out(text, tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(text)
    assert read_rows(path) == []
    path.write_bytes(b"\xff\xfe" + text.encode())
    assert read_rows(path) == []
    assert read_rows(tmp_path / "none.csv") == []


def test_a_damaged_line_costs_only_itself(tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(HEADING.encode() + b"1,0.5,2,,,,\n2,0.5,\xff,,,,\n3,1.5,1,20,,,\n")
    rows = read_rows(path)
    assert [row["iteration"] for row in rows] == [1, 3] and math.isnan(rows[0]["psnr"]) and rows[1]["psnr"] == 20
    history = History(COLUMNS, path)
    history.resume(2)
    assert path.read_text() == HEADING + "1,0.5,2.0,,,,\n"


def test_verdicts_come_back_and_damaged_ones_do_not(tmp_path):
    path = tmp_path / "stopping.csv"
    rows = [Verdict("wmv", True, 5, 9, 20.5, 0.25, 3), Verdict("emv", False, 7, None, None, None, 0)]
    path.write_text(as_csv(rows))
    assert read_verdicts(path) == rows
    path.write_text(as_csv(rows).replace("20.5", "abc") + "emv,True\n")
    assert read_verdicts(path) == rows[1:]
    assert read_verdicts(tmp_path / "none.csv") == []
