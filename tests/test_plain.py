"""What a picture is called does nothing, wherever its name appears."""

import csv
import logging
from pathlib import Path

import pytest

from dip_lab.checks import one_line
from dip_lab.plain import Lines, as_csv, markdown
from dip_lab.tables import compare, grid
from dip_lab.tables.cells import Row

HOSTILE = ("=1+cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1", "＝1+1", " =1", "<script>alert(1)</script>",
           "a|b", "\x1b[31mred\x07\r", "\u202egnp.exe", "two\nlines", "![x](http://a/b)", "\\input{/etc}", "\x9b2J")


def cells():
    return [Row(Path(f"cell{number}"), {"status": "done", "task": "denoise", "net": "skip", "picture": name,
                                        "noise": "none", "psnr": 20.0 + number, "seed": 0, "error": name})
            for number, name in enumerate(HOSTILE)]


def acting(text):
    return [sign for sign in text if sign != "\n" and (ord(sign) < 32 or 127 <= ord(sign) < 160 or sign == "\u202e")]


def test_no_formula_and_no_control_character_in_a_summary():
    text = compare.as_csv(cells())
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == len(HOSTILE) and not acting(text)
    assert not [row["picture"] for row in rows if row["picture"].lstrip()[0] in "=+-@＝\t"]
    assert sorted(float(row["psnr"]) for row in rows) == [20.0 + number for number in range(len(HOSTILE))]


@pytest.mark.parametrize("number", [-3.1, "-3.1", "+2", "-1e-05", "-inf", -7])
def test_numbers_stay_numbers(number):
    assert as_csv([[number]]) == f"{number}\n"


def test_markdown_and_latex_show_a_name_and_do_nothing():
    text = compare.as_markdown(cells())
    assert "<script" not in text and "](" not in text and not acting(text)
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines()}) == 1, "a field was split"
    assert r"\input" not in grid.as_latex(*compare.listed(cells()))
    assert grid.as_markdown(["a"], [[grid.Code("net=skip")], [grid.Code("`x`|")]]).splitlines()[2:] == [
        "| `net=skip` |", r"| \`x\`\| |"]
    assert markdown("skip_fast x&y") == "skip_fast x&y"


def test_terminal_and_log_get_no_escape_codes():
    assert not acting(grid.as_text(*compare.short_list(cells())))
    for name in HOSTILE:
        record = logging.LogRecord("", 0, "", 0, "%s: %s", (name, "no noise"), None)
        assert not acting(Lines("%(message)s").format(record)) and not acting(one_line(ValueError(name)))
        assert not acting(one_line(FileNotFoundError(2, "No such file", name)))
    record = logging.LogRecord("", 0, "", 0, "%s", ("photo\n1 done, 0 failed",), None)
    assert Lines("%(message)s").format(record).splitlines() == ["photo", "  1 done, 0 failed"]


def test_an_override_of_escape_codes_is_answered_in_one_plain_line(command):
    code, said = command("data=file", "data.path='\x1b]0;title\x07.png'", "logger=none")
    assert code == 2 and said.count("\n") == 1 and not acting(said) and r"\x1b]0;title\x07" in said
