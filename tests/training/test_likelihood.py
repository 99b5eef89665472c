"""A density of pictures: it learns, leaves a checkpoint of its own kind, and needs no task."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dip_lab.training.checkpoint import KEY, Card, density_of, load, load_density, restorer_of, save

pytestmark = pytest.mark.usefixtures("photos")
TINY = ["objective=likelihood", "net=pixelcnn", "net.width=8", "net.layers=1", "net.levels=9", "data=train/folder",
        "optimizer=adam", "data.path=photos", "patch=16", "batch=4", "iterations=40", "epoch=20", "optimizer.lr=0.02",
        "logger=none", "device=cpu", "precision=float32", "threads=1"]
OPTIONS = {"width": 6, "layers": 1, "kernel_first": 3, "kernel": 3, "levels": 6}
CARD = Card("pixelcnn", OPTIONS, 1, 0, False, False, "likelihood", {}, None, None, "train/folder",
            objective="likelihood")


@pytest.mark.parametrize("channels", [1, 3])
def test_it_learns_and_leaves_a_density(train, channels):
    code, said = train(*TINY, f"channels={channels}")
    assert code == 0, said
    (folder,) = Path("outputs", "train").iterdir()
    assert folder.name.startswith("likelihood-pixelcnn-folder-") and (folder / "held_out.png").is_file()
    rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "iteration,seconds,loss,lr,bits_per_dim" and len(rows) == 3
    trained = load_density(str(folder))
    assert trained.card.score == json.loads((folder / "training.json").read_text(encoding="utf-8"))["score"] < 8
    card = trained.card
    assert (card.channels, card.maps, card.noise, card.residual, card.task) == (channels, 0, None, False, "likelihood")
    assert f"baseline=pixelcnn_map baseline.checkpoint=outputs/train/{folder.name}" in said


def test_the_task_does_not_matter(train):
    assert train(*TINY, "iterations=1")[0] == 0
    for more in (["task.sigma=50"], ["task=deblur"], ["restorer.noise_map=true"]):
        assert train(*TINY, "iterations=1", *more)[0] == 0
    assert len(list(Path("outputs", "train").iterdir())) == 1


@pytest.mark.parametrize("overrides, said", [
    (["net.levels=256"], "net.levels=256: with objective=likelihood each logistic of a mixture takes 3 of them"),
    (["objective.degraded=true"], "objective.degraded=true: a density is learnt from clean pictures"),
    (["objective.degraded=maybe"], "objective.degraded=maybe: choose true or false"),
])
def test_mistakes_are_one_line(train, overrides, said):
    code, printed = train(*TINY, *overrides)
    assert code == 2 and said in printed and len(printed.strip().splitlines()) == 1


def test_another_network_is_refused_in_one_line(train):
    code, printed = train("objective=likelihood", "net=dncnn", "data=train/folder", "data.path=photos", "patch=16")
    assert code == 2 and "net=pixelcnn" in printed and len(printed.strip().splitlines()) == 1


def test_a_density_is_no_restorer_and_the_other_way_round(tmp_path, one_thread):
    restorer = replace(CARD, objective="restoration", task="denoise")
    save(tmp_path / "density.pt", CARD, density_of(CARD))
    save(tmp_path / "restorer.pt", restorer, restorer_of(restorer))
    image = torch.rand(1, 1, 6, 5)
    assert torch.equal(load_density(str(tmp_path / "density.pt")).restorer(image),
                       load_density(str(tmp_path / "density.pt")).restorer(image))
    assert load(str(tmp_path / "restorer.pt")).card.objective == "restoration"
    with pytest.raises(ValueError, match=r"density\.pt: is a density of pictures .* baseline=pixelcnn_map$"):
        load(str(tmp_path / "density.pt"))
    with pytest.raises(ValueError, match=r"restorer\.pt: is a restorer \(objective=restoration\) .* baseline=trained$"):
        load_density(str(tmp_path / "restorer.pt"))


def test_a_card_from_before_densities_is_that_of_a_restorer(tmp_path, one_thread):
    restorer = replace(CARD, objective="restoration", task="denoise")
    save(tmp_path / "old.pt", restorer, restorer_of(restorer))
    content = torch.load(tmp_path / "old.pt", weights_only=True)
    del content[KEY]["objective"]
    torch.save(content, tmp_path / "older.pt")
    assert load(str(tmp_path / "older.pt")).card.objective == "restoration"
