"""The cells of a sweep side by side."""

import csv
import io
import math
from pathlib import Path

import pytest

from dip_lab.runs.files import write_json
from dip_lab.tables import compare, grid
from dip_lab.tables.cells import Row, read_cells, varied


def write_cells(group: Path) -> Path:
    """skip and unet, lr .01 and .1, seeds 0 and 1; one failed, one unfinished."""
    for net, base in (("skip", 30.0), ("unet", 28.0)):
        for lr in (0.01, 0.1):
            for seed in (0, 1):
                psnr = base + 10 * lr + seed
                result = {"task": "denoise", "net": net, "optimizer": "adam", "baseline": None, "picture": "House",
                          "seed": seed, "status": "done", "psnr": psnr, "ssim": psnr / 40, "seconds": 100 - psnr,
                          "error": None, "overrides": {"net": net, "optimizer.lr": lr, "seed": seed},
                          "config": {"optimizer": {"lr": lr}, "net": {"width": 4}}}
                if (net, lr, seed) == ("unet", 0.1, 1):
                    result |= {"status": "failed", "psnr": None, "error": "out of memory"}
                if (net, lr) == ("unet", 0.01):
                    result |= {"status": "unfinished", "psnr": None}
                write_json(group / f"{net}-{lr}-{seed}" / "result.json", result)
    return group


@pytest.fixture
def cells(tmp_path) -> list[Row]:
    return read_cells(write_cells(tmp_path))


def test_overridden_keys_are_columns(cells):
    rows = list(csv.DictReader(io.StringIO(compare.as_csv(cells))))
    assert len(rows) == 8 and list(rows[0])[:6] == ["task", "net", "baseline", "picture", "optimizer.lr", "seed"]
    assert {row["optimizer.lr"] for row in rows} == {"0.01", "0.1"} and rows[0]["baseline"] == ""
    assert {row["status"] for row in rows} == {"done", "failed", "unfinished"}
    assert varied(cells) == ["net", "seed", "optimizer.lr"]


def test_cells_stand_in_the_order_of_their_values(cells):
    assert [cell.folder.name for cell in cells][:4] == ["skip-0.01-0", "skip-0.1-0", "skip-0.01-1", "skip-0.1-1"]


def test_pivot_has_means_and_deviations_over_seeds(cells):
    header, lines = compare.pivot(cells, "net", "optimizer.lr")
    assert header == ["psnr: net", "optimizer.lr=0.01", "optimizer.lr=0.1"]
    deviation = f"{math.sqrt(0.5):.2g}"  # of two values that are 1 apart
    assert lines == [["skip", f"30.60 ± {deviation}", grid.Best(f"31.50 ± {deviation}")],
                     ["unet", "unfinished", "29.00 (1 of 2)"]]


def test_over_seeds_means_of_the_mean_over_all_else(cells):
    done = [cell for cell in cells if cell.value("net") == "skip"]
    header, lines = compare.pivot(done, "net", "task")
    assert lines == [["skip", f"31.05 ± {math.sqrt(0.5):.2g}"]]


def test_what_is_missing_is_said(tmp_path):
    group = write_cells(tmp_path)
    for name in ("unet-0.01-0", "unet-0.01-1"):
        (group / name / "result.json").unlink()
        (group / name).rmdir()
    (group / "unet-0.1-0" / "result.json").unlink()
    header, lines = compare.pivot(read_cells(group), "net", "optimizer.lr")
    assert lines[1] == ["unet", "-", "failed"]


def test_less_is_better_of_seconds(cells):
    header, lines = compare.pivot(cells, "net", "seed", "seconds")
    bold = {line[0]: [isinstance(field, grid.Best) for field in line] for line in lines}
    assert bold == {"skip": [False, True, False], "unet": [False, False, False]}


@pytest.mark.parametrize("condition, number", [
    ("net=skip", 4), ("net=skip,unet", 8), ("net!=skip", 4), ("optimizer.lr=0.1", 4), ("optimizer.lr=1e-1", 4),
    ("psnr>31", 2), ("psnr<=30.1", 2), ("status=failed", 1), ("net.width=4", 8), ("seed>=1", 4),
])
def test_where(condition, number, cells):
    assert len(compare.where(cells, condition)) == number


@pytest.mark.parametrize("condition", ["net", "psnr>high", "=3"])
def test_a_condition_that_cannot_be_read(condition, cells):
    with pytest.raises(ValueError, match=condition):
        compare.where(cells, condition)


def test_ordered(cells):
    best = compare.ordered(cells, "psnr")
    assert best[0].value("psnr") == 32 and best[-1].value("psnr") is None
    assert compare.ordered(cells, "seconds")[0].value("seconds") == 68


def test_an_unknown_key_names_those_there_are(cells):
    with pytest.raises(ValueError, match="optimiser.lr: no cell has it; there are net, seed, optimizer.lr"):
        compare.pivot(cells, "net", "optimiser.lr")


def test_formats():
    header, lines = ["net_name", "a|b"], [["x&y_z", grid.Best("1.0 ± 0.1")]]
    assert "| x&y_z | **1.0 ± 0.1** |" in grid.as_markdown(header, lines) and "a\\|b" in grid.as_markdown(header, lines)
    assert r"x\&y\_z & \textbf{1.0 $\pm$ 0.1} \\" in grid.as_latex(header, lines)
    text = grid.as_text(header, [["name" * 40, "1"]])
    assert "name" * 40 in text, "a pipe has no width"


def test_the_script(tmp_path, script_of, capsys):
    script = script_of("compare")
    group = write_cells(tmp_path / "group")
    script.main([str(group)])
    assert "| unet |" in (group / "summary.md").read_text() and (group / "summary.csv").exists()
    capsys.readouterr()
    script.main([str(group), "--pivot", "net", "seed", "--where", "psnr>0", "--score", "ssim", "--latex"])
    assert r"\begin{tabular}{lrr}" in capsys.readouterr().out
    script.main([str(group), "--where", "net=skip", "--sort", "psnr"])
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["skip", "1", "0.1"]
    for arguments, message in ((["--where", "net=no"], "no such cell"), (["--pivot", "net", "x"], "no cell has it")):
        with pytest.raises(ValueError, match=message):
            script.main([str(group), *arguments])
    with pytest.raises(ValueError, match="no cells in this folder"):
        script.main([str(tmp_path / "nothing")])


def test_a_torn_line_of_the_history_is_left_out(tmp_path):
    cell = Row(tmp_path, {})
    assert cell.curves() == {}
    (tmp_path / "history.csv").write_text("iteration,seconds,loss,psnr,psnr_average\n1,0.5,0.1,20,\n2,0.")
    assert cell.curves()["iteration"] == [1.0] and cell.curves()["psnr_average"] == [None]


def test_a_cell_whose_record_cannot_be_read_is_called_unreadable(tmp_path):
    texts = {"a": '{"status": "done", "psnr": 20}', "b": '{"status": "done", "psnr": "abc"}', "c": "[]"}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    assert [cell.status for cell in read_cells(tmp_path)] == ["done", "unreadable", "unreadable"]
