"""Seconds to a PSNR, from cells whose every number is known."""

import csv
import json

import pytest

from dip_lab.results.history import COLUMNS
from dip_lab.results.verdicts import STOPPING_CSV, Verdict, as_csv
from dip_lab.tables.levers import frontier_figure, levers_table, setting_of, tries_of, versus_table

STEPS = {"bf16": {"net=skip": 0.5, "(none)": 0.1}, "AVX2": {"net=skip": 1.0, "(none)": 0.2}}


def cell(group, name, overrides, picture, curve, psnr, stop="held out error has not fallen for 100 iterations", **more):
    folder = group / name
    folder.mkdir()
    result = {"status": "done", "picture": picture, "task": "denoise", "noise": "gaussian", "seed": 0,
              "overrides": {"data.name": picture, **overrides}, "config": {"task": {"sigma": 25}}, "psnr": psnr,
              "ssim": 0.9, "iterations": 10 * len(curve), "stop_reason": stop, **more}
    (folder / "result.json").write_text(json.dumps(result))
    stopped = result["iterations"] if "has not fallen" in stop else None
    (folder / STOPPING_CSV).write_text(as_csv([Verdict("holdout", True, 10, stopped, psnr, 0.0, 0)]))
    with open(folder / "history.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for i, value in enumerate(curve, 1):
            writer.writerow({"iteration": 10 * i, "seconds": i, "loss": 0.1, "psnr": 20, "psnr_average": value})


@pytest.fixture
def group(tmp_path):
    cell(tmp_path, "a", {"net": "skip"}, "House", [25, 28, 29.95, 30], 30.0, stop="iterations used up")
    cell(tmp_path, "b", {"net": "skip"}, "F16", [20, 22, 24, 24.5], 24.5, stop="iterations used up")
    cell(tmp_path, "c", {}, "House", [29, 29.9, 30.5], 30.4)
    cell(tmp_path, "d", {}, "F16", [24.4, 24.0, 23.0], 24.4)
    cell(tmp_path, "e", {"seed": 1}, "F16", [24.4, 24.0, 23.0], 24.4, seed=1)
    return tmp_path


def test_the_quickest_comes_first_and_problems_without_a_reference_do_not_count(group):
    header, _, first, second, *rest = levers_table(tries_of(group), "net=skip", STEPS).splitlines()
    assert "seconds, bf16" in header and "seconds, AVX2" in header and not rest
    assert first == "| `(none)` | 2 | 15 | 2 | 3 | +0.15 | -0.10 | 30 | 2 of 2 |"
    assert second == "| `net=skip` | 2 | 35 | 18 | 35 | +0.00 | +0.00 | 40 | 0 of 2 |"


def test_a_setting_that_misses_the_psnr_has_no_seconds(group):
    cell(group, "f", {"net": "unet"}, "House", [20, 21], 21.0)
    assert "| `net=unet` | 1 | missed 1 | - | - | -9.00 | -9.00 | 20 | 1 of 1 |" in levers_table(
        tries_of(group), "net=skip", STEPS)


def test_two_settings_problem_by_problem(group):
    text = versus_table(tries_of(group), "net=skip", "(none)", {"bf16": STEPS["bf16"]})
    assert "| House, sigma 25 | 30.00 | 30.40 | +0.40 | 0.900 | 0.900 | 40 | 30 | 20 / 3 = 6.7 |" in text
    assert "seed 1" not in text and "Median: 6.7 times fewer seconds (bf16)." in text


def test_an_unknown_reference_is_named(group):
    with pytest.raises(ValueError, match="no cell has the setting net=skp; there are: "):
        levers_table(tries_of(group), "net=skp", STEPS)


def test_a_folder_without_finished_cells_is_refused(tmp_path):
    cell(tmp_path, "a", {}, "House", [1], 1.0, status="failed")
    with pytest.raises(ValueError, match="no finished cell with a target"):
        tries_of(tmp_path)


def test_where_and_how_a_cell_was_computed_is_no_setting():
    overrides = {"net": "skip", "threads": 1, "logger": "none", "experiment": "x", "task.sigma": 50,
                 "task/noise": "poisson", "net.align_corners": True, "data.size": 3}
    assert setting_of({"overrides": overrides}) == "net=skip net.align_corners=true"


def test_the_figure_has_a_line_for_each_setting(group):
    figure = frontier_figure(tries_of(group), STEPS["bf16"], {"(none)": "new"})
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.get_lines() if not line.get_label().startswith("_")] == ["new"]
    (thick,) = [line for line in axis.get_lines() if line.get_label() == "new"]
    assert list(thick.get_xdata()) == pytest.approx([1, 2, 3])
    assert thick.get_ydata()[0] == pytest.approx((29 + 24.4) / 2)
