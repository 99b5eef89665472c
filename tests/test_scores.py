"""The one table of scores, and scores that a task defines itself."""

import json

import pytest
import torch

from dip_lab.cli import said
from dip_lab.runs.files import write_json
from dip_lab.scores import OWN, SCORES, Score, described, judged, known, score_of
from dip_lab.tables.album import Album
from dip_lab.tables.cells import read_cells
from dip_lab.tables.compare import as_csv, as_markdown, pivot
from dip_lab.tables.report import rendered
from dip_lab.tasks.evaluation import FullFrame

ROWS = Score("psnr_rows", "PSNR rows", "dB", 1, "higher", note="of every other row")


@pytest.fixture
def result(fit_tiny, tmp_path, monkeypatch, without_plots):
    monkeypatch.setattr(FullFrame, "described", (ROWS,))
    plain = FullFrame.scores
    monkeypatch.setattr(FullFrame, "scores", lambda self, *rest: plain(self, *rest) | {
        "psnr_rows": torch.tensor(21.25), "speckles": torch.tensor(3.0)})
    for seed in (0, 1):
        fit_tiny("iterations=2", f"seed={seed}", folder=tmp_path / f"cell{seed}")
    return json.loads((tmp_path / "cell0" / "result.json").read_text())


def test_every_key_is_there_once():
    assert len({score.name for score in SCORES.values()}) == len(SCORES)
    assert all(score.better in ("", "higher", "lower") for score in SCORES.values())
    assert {"seconds", "parameters", "psnr_peak", "warping_error"}.isdisjoint(judged(SCORES))


def test_an_unknown_score_is_a_plain_number():
    assert score_of("speckles") == Score("speckles", "speckles")
    assert score_of("psnr").unit == "dB" and score_of("psnr_rows", [ROWS]) is ROWS
    assert [entry["key"] for entry in described(["psnr", "psnr_rows", "speckles"], [ROWS])] == ["psnr_rows", "speckles"]


def test_a_score_of_a_task_s_own_is_in_its_result_and_wherever_scores_are(result, tmp_path):
    assert result["psnr_rows"] == 21.25 and result["speckles"] == 3 and result["psnr_rows_output"] == 21.25
    assert [entry["name"] for entry in result[OWN]] == ["PSNR rows", "speckles"]
    assert known([result])["psnr_rows"] == ROWS
    assert "psnr_rows 21.2 dB of every other row" in " ".join(said(result, tmp_path / "x.png").split())
    cells = read_cells(tmp_path)
    assert "psnr_rows" in as_csv(cells).splitlines()[0].split(",") and "| **21.2** |" in as_markdown(cells)
    assert as_markdown(cells).endswith("\n`psnr_rows`: dB, of every other row\n")
    assert pivot(cells, "net", "seed", "psnr_rows")[1][0][1] == "21.2"
    page = rendered("mine", cells, None, Album())
    assert "PSNR rows" in page and "speckles" in page and '"psnr_rows":"higher"' in page


def test_the_best_is_the_lowest_where_lower_is_better(tmp_path):
    entry = {"key": "flicker", "name": "flicker", "better": "lower"}
    for seed, value in ((1, 0.25), (2, 0.75)):
        write_json(tmp_path / f"{seed}" / "result.json", {"status": "done", "task": "denoise", "picture": "x",
                                                              "seed": seed, "flicker": value, OWN: [entry]})
    lines = as_markdown(read_cells(tmp_path)).splitlines()
    assert any("**0.2500**" in line for line in lines) and not any("**0.7500**" in line for line in lines)
