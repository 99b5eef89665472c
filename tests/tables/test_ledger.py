"""The ledger of published cells, from entries written by hand."""

import json

import pytest

from dip_lab.tables import ledger


def entry(picture="House", ours=31.0, published=31.2, method="DIP", **more):
    return {"experiment": "paper/x", "cell": f"denoise-skip-{picture}-0", "method": method, "net": "skip",
            "added": "2026-01-01", "rows": [{"row": "DIP", "key": "psnr", "ours": ours, "published": published}],
            "scores": {"psnr": ours}, "iterations": 10, "seconds": 2.0, "device": "x86_64", "precision": "bf16",
            "versions": {"torch": "2.13.0+cpu"}, "seed": 0, "picture": picture, **more}


def written(folder, *entries):
    (folder / "paper_x").mkdir()
    for each in entries:
        (folder / "paper_x" / f"{each['cell']}.json").write_text(json.dumps(each), encoding="utf-8")
    return ledger.page(folder)


def test_a_cell_within_0_3_db_or_above_is_reproduced_and_a_miss_has_its_reason(tmp_path):
    (tmp_path / "misses.yaml").write_text("paper/x: {DIP: {F16: fits too early}}", encoding="utf-8")
    page = written(tmp_path, entry(), entry("Lena", 33.0), entry("F16", 30.8), entry("Baboon", 20.0),
                   entry("Peppers", 31.5, method="nlm"), entry("kate", published=None))
    assert "| DIP | 4 | 2 | 2 |" in page and "| other methods | 1 | 1 | 0 |" in page
    lines = {line.split(" | ")[1]: line for line in page.splitlines() if line.startswith("| DIP | ") and "CPU" in line}
    assert lines["House"] == "| DIP | House | 0 | 31.20 | 31.00 | -0.20 | 10 | 2 | CPU, bf16, torch 2.13.0 |  |"
    assert lines["F16"].endswith("fits too early |") and lines["Baboon"].endswith("not explained |")
    assert "|  | 31.00 |  |" in lines["kate"]


@pytest.mark.parametrize("text", ["{", "[]", '{"experiment": "paper/x"}'])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "paper_x").mkdir()
    (tmp_path / "paper_x" / "cell.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"cell\.json is not a file of the ledger: remove it"):
        ledger.page(tmp_path)


def test_an_empty_ledger_has_a_page(tmp_path):
    assert "| DIP | 0 | 0 | 0 |" in ledger.page(tmp_path)
