"""scripts/figures.py, on the folders of tiny runs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY = ["data.size=32", "net.width=4", "net.depth=2", "iterations=20", "log_every=5", "log_every_image=5",
        "logger=none", "device=cpu", "precision=float32", "stopping=fixed"]


@pytest.fixture
def figures(script_of):
    return script_of("figures")


@pytest.fixture
def run(command):
    assert command(*TINY)[0] == 0
    (folder,) = Path("outputs/denoise").iterdir()
    return folder


def width_of(path):
    with Image.open(path) as image:
        image.load()
        return image.width


@pytest.mark.slow
def test_noise_impedance_has_a_curve_for_each_observation(command, figures):
    assert command("experiment=paper/noise_impedance", *TINY)[0] == 0
    group = Path("outputs/paper_noise_impedance")
    (axis,) = figures.learning(group).axes
    assert {line.get_label() for line in axis.lines} == set(figures.OBSERVATIONS.values())
    assert {len(line.get_xdata()) for line in axis.lines} == {5} and axis.get_yscale() == "log"
    figures.main(["learning", str(group)])
    assert width_of(group / "learning.png") > 500


def test_a_strip_of_snapshots_with_their_psnr(figures, run):
    axes = figures.snapshots(run).axes
    titles = [axis.get_title() for axis in axes]
    assert [title.split(",")[0] for title in titles] == ["5", "10", "15", "20"] and all("dB" in t for t in titles)
    figures.main(["snapshots", str(run), "--out", "strip.png"])
    assert width_of("strip.png") > 500


def test_crops_of_observation_restoration_and_target(figures, run):
    axes = figures.crops(run, (4, 6, 10)).axes
    captions = [axis.get_title().split("\n")[0] for axis in axes[:3]]
    assert captions == ["observation", "restoration", "target"] and "dB" in axes[1].get_title()
    assert [axis.images[0].get_array().shape[:2] for axis in axes] == [(32, 32)] * 3 + [(10, 10)] * 3
    with Image.open(run / "target.png") as target:
        part = target.crop((4, 6, 14, 16))
    assert axes[5].images[0].get_array().tolist() == np.asarray(part).tolist()
    figures.main(["crops", str(run)])
    assert width_of(run / "crops.png") > 500


def test_what_cannot_be_drawn_is_refused(figures, run, tmp_path):
    with pytest.raises(ValueError, match="--box 30,0,8 is not inside the picture of 32 x 32 px"):
        figures.crops(run, (30, 0, 8))
    (tmp_path / "empty").mkdir()
    for draw, message in ((figures.learning, "no runs with"), (figures.snapshots, "no pictures in snapshots"),
                          (lambda folder: figures.crops(folder, None), "not a finished run")):
        with pytest.raises(ValueError, match=message):
            draw(tmp_path / "empty")
