import csv
import io

import pytest
from PIL import Image

from dip_lab.runs.files import write_json
from dip_lab.tables.comparison import comparison_png, curves_of


def cell(group, name, net="skip", task="denoise", seed=0, psnr=20.0, rows=((25, 1.0, 18.0, 19.0), (50, 2.0, 19.0, ""))):
    folder = group / name
    folder.mkdir(parents=True)
    write_json(folder / "result.json", {"status": "done", "net": net, "task": task, "seed": seed, "psnr": psnr,
                                        "chosen_iteration": 50, "config_hash": name})
    with open(folder / "history.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["iteration", "seconds", "psnr", "psnr_average"])
        writer.writerows(rows)


def test_the_average_is_drawn_where_there_is_one_and_the_best_comes_first(tmp_path):
    cell(tmp_path, "a", "skip", psnr=20.0)
    cell(tmp_path, "b", "unet", psnr=21.0)
    cell(tmp_path, "c", "unet", psnr=None)
    first, second = curves_of(tmp_path)
    assert (first.label, second.label) == ("unet", "skip")
    assert first.iterations == [25, 50] and first.seconds == [1.0, 2.0] and first.values == [19.0, 19.0]


def test_cells_that_differ_in_another_key_are_told_apart(tmp_path):
    cell(tmp_path, "a")
    cell(tmp_path, "b")
    cell(tmp_path, "c", seed=1)
    assert {curve.label for curve in curves_of(tmp_path)} == {"seed 0 a", "seed 0 b", "seed 1"}


def test_the_label_is_what_differs_within_a_task(tmp_path):
    cell(tmp_path, "a", "skip")
    cell(tmp_path, "b", "unet", seed=1)
    cell(tmp_path, "c", "unet", task="inpaint")
    labels = {(curve.task, curve.label) for curve in curves_of(tmp_path)}
    assert labels == {("denoise", "skip, seed 0"), ("denoise", "unet, seed 1"), ("inpaint", "unet")}


@pytest.mark.parametrize("tasks", [1, 3])
def test_a_row_of_plots_for_each_task(tasks, tmp_path):
    for i in range(tasks):
        cell(tmp_path, f"a{i}", task=f"task{i}")
    width, height = Image.open(io.BytesIO(comparison_png(curves_of(tmp_path)))).size
    assert height / width == pytest.approx(5.5 * tasks / 15, rel=0.01)
