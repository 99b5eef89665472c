"""scripts/train.py as a person uses it: it learns, is continued exactly, and says in one line what is wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from dip_lab.training.build import seconds_of
from dip_lab.training.checkpoint import BEST, LAST, load

TRAIN = Path(__file__).resolve().parents[2] / "scripts" / "train.py"
TINY = ["net=ffdnet", "net.width=4", "net.layers=3", "net.norm=none", "data=train/folder", "data.path=photos",
        "patch=16", "batch=4", "iterations=6", "epoch=2", "logger=none", "device=cpu", "precision=float32", "threads=1"]


@pytest.fixture(autouse=True)
def photos(tmp_path):
    """A folder of four small pictures where the command is given."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        Image.radial_gradient("L").resize((40 + number, 36)).save(folder / f"{number}.png")
    return folder


def folder_of(name: str = "train") -> Path:
    return next(Path("outputs", name).iterdir())


def test_a_training_leaves_its_weights_and_curves(train):
    code, said = train(*TINY, "task.sigma=[0,55]", "restorer.noise_map=true")
    assert code == 0, said
    folder = folder_of()
    assert {"history.csv", "curves.png", "held_out.png", "training.json", "checkpoints"} <= set(os.listdir(folder))
    rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "iteration,seconds,loss,lr,psnr,ssim"
    assert [row.split(",")[0] for row in rows[1:]] == ["2", "4", "6"]
    trained = load(str(folder))
    card = trained.card
    assert (card.net, card.channels, card.maps, card.sigma, card.pictures) == ("ffdnet", 1, 1, (0, 55), 2)
    assert json.loads((folder / "training.json").read_text(encoding="utf-8"))["score"] == card.score
    assert trained.restorer(torch.rand(1, 2, 20, 21)).shape == (1, 1, 20, 21)
    assert f"baseline.checkpoint={folder}" in said


def test_it_learns(train):
    train(*TINY, "task.sigma=50", "iterations=150", "epoch=150", "optimizer=muon", "net.width=16")
    assert load(str(folder_of())).card.score > 16.5  # the noise alone leaves 15.0


def test_it_is_continued_exactly(train, tmp_path):
    train(*TINY, "task.sigma=25", "name=whole")
    half = [*TINY, "task.sigma=25", "name=whole"]
    whole = torch.load(folder_of("whole") / LAST, weights_only=True)
    saved = tmp_path / "kept"
    shutil.copytree(folder_of("whole"), saved)
    shutil.rmtree(folder_of("whole"))

    class Killed(BaseException):
        pass

    from dip_lab.training.module import Training

    before = Training.training_step

    def dies(self, batch, batch_idx):
        if self.step == 3:
            raise Killed
        return before(self, batch, batch_idx)

    Training.training_step = dies
    try:
        with pytest.raises(Killed):
            train(*half)
    finally:
        Training.training_step = before
    assert torch.load(folder_of("whole") / LAST, weights_only=True)["step"] == 2
    code, said = train(*half)
    assert code == 0 and "goes on from" in said, said
    again = torch.load(folder_of("whole") / LAST, weights_only=True)
    assert again["step"] == 6
    for key, value in whole["state_dict"].items():
        assert torch.equal(again["state_dict"][key], value), key
    rows = [(folder / "history.csv").read_text(encoding="utf-8").splitlines() for folder in (saved, folder_of("whole"))]
    scores = [[row.split(",")[0:1] + row.split(",")[2:] for row in each] for each in rows]
    assert scores[0] == scores[1]


def test_a_finished_training_is_not_repeated(train):
    train(*TINY)
    before = (folder_of() / LAST).read_bytes()
    code, said = train(*TINY)
    assert code == 0 and (folder_of() / LAST).read_bytes() == before
    assert len((folder_of() / "history.csv").read_text(encoding="utf-8").splitlines()) == 4


def test_a_sweep_trains_each(train):
    code, said = train("-m", *TINY, "optimizer=sgd,adam", "seed=0,1", "iterations=2")
    assert code == 0, said
    assert len(list(Path("outputs/train").glob(f"*/{BEST}"))) == 4


def test_what_was_trained_is_evaluated(train):
    code, said = train("-m", *TINY, "task.sigma=25", "optimizer=sgd,adam", "iterations=2",
                       "evaluate=['data=folder','data.path=photos','data.clean=true','task.sigma=25']")
    assert code == 0, said
    folder = Path("outputs/train_evaluation")
    assert {"evaluation.md", "evaluation.csv", "report.html"} <= set(os.listdir(folder))
    assert len(list(folder.glob("*/result.json"))) == 8
    text = (folder / "evaluation.md").read_text(encoding="utf-8")
    assert "| ffdnet, sgd |" in text and "| ffdnet, adam |" in text


def test_a_budget_ends_in_time(train):
    started = time.monotonic()
    code, said = train(*TINY, "iterations=100000", "epoch=1000000", "budget=2s")
    assert code == 0 and time.monotonic() - started < 20, said
    assert (folder_of() / BEST).is_file()
    rate = float((folder_of() / "history.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")[3])
    assert rate < 1e-5  # the schedule came to its end


@pytest.mark.parametrize("overrides", [
    ["net=dncnn", "net.width=4", "net.layers=3"], ["net=dip_unet", "net.channels=[4,8]"],
    ["net=cvt", "net.channels=[4,8]", "net.depths=[0,1]", "net.heads=[1,2]"], ["net=patch_mlp", "net.width=8"],
    ["net=pixelcnn", "net.width=4", "net.layers=1", "net.levels=8"],
    ["task=super_resolution", "task.factor=2"], ["task=inpaint"], ["task=jpeg"], ["task=deblur"],
    ["descent/schedule=constant", "optimizer=sgd"], ["optimizer=muon"], ["task/misfit=l1"], ["workers=1"],
], ids=" ".join)
def test_every_network_and_task(overrides, train):
    own = [text for text in TINY if not text.startswith("net") or not overrides[0].startswith("net=")]
    code, said = train(*own, *overrides, "iterations=2")
    assert code == 0, said
    assert load(str(folder_of())).card.score is not None


MISTAKES = {
    "data=train/folder data.path=none": ["data.path", "none", "is not a folder"],
    "data=train/folder data.path=empty": ["no picture in"],
    "patch=64": ["px, smaller than a patch of 64"],
    "data.held_out=4": ["data.held_out=4", "there are 4 pictures"],
    "data=sample": ["data=sample", "no pictures to train on", "data=train/folder"],
    "task.sigma=[55,0]": ["task.sigma=[55, 0]", "from the lowest to the highest"],
    "task.sigma=-1": ["task.sigma", "-1"],
    "budget=soon": ["budget=soon", "30m"],
    "batch=1": ["batch=1", "at least 2"],
    "channels=3": ["is grey: give channels=1"],
    "channels=2": ["channels=2", "1 or 3"],
    "restorer.noise_map=true task/noise=poisson": ["Poisson has no standard deviation"],
    "net=pixelcnn restorer.residual=true": ["PixelCNN makes pictures only", "restorer.residual=false"],
    "net=skp": ["net=skp", "did you mean skip"],
    "patches=3": ["patches", "did you mean patch?"],
    "optimizer.lr=0": ["optimizer.lr=0", "above 0"],
    "restorer.residual=perhaps": ["restorer.residual=perhaps", "true or false"],
    "rerun=maybe": ["rerun=maybe", "true or false"],
    "task.given=true": ["task.given", "degrades clean ones"],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake, train):
    Path("empty").mkdir()
    chosen = tuple(group for group in ("net", "data") if f"{group}=" in mistake)
    own = [text for text in TINY if not text.startswith(chosen)]
    code, said = train(*own, *mistake.split())
    assert code == 2, said
    assert len(said.strip().splitlines()) == 1, said
    for part in MISTAKES[mistake]:
        assert part in said


def test_a_training_that_diverges_keeps_what_it_had(train):
    code, said = train(*TINY, "optimizer=sgd", "optimizer.lr=1e9")
    assert code == 2 and "the loss is not finite after step" in said and "smaller optimizer.lr" in said


def test_a_damaged_checkpoint_is_not_continued(train):
    train(*TINY, "iterations=4")
    folder = folder_of()
    (folder / "training.json").unlink()
    (folder / LAST).write_bytes((folder / LAST).read_bytes()[:1000])
    code, said = train(*TINY, "iterations=4")
    assert code == 0 and "last.ckpt: cannot be read" in said and "goes on from" in said, said
    (folder / "training.json").unlink()
    for path in (folder / LAST, folder / BEST):
        path.write_bytes(path.read_bytes()[:1000])
    code, said = train(*TINY, "iterations=4")
    assert code == 2 and "rerun=true" in said
    assert train(*TINY, "iterations=4", "rerun=true")[0] == 0


@pytest.mark.parametrize("budget, seconds", [("90s", 90), ("30m", 1800), ("2h", 7200), (5, 300), ("0.5m", 30)])
def test_budgets(budget, seconds):
    assert seconds_of(budget) == seconds


@pytest.mark.slow
def test_it_survives_kill_9(photos, tmp_path):
    arguments = [sys.executable, str(TRAIN), *TINY, "iterations=60", "epoch=10"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*arguments, "name=whole"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    process = subprocess.Popen([*arguments, "name=killed"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    history = tmp_path / "outputs" / "killed"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(history.glob(f"*/{LAST}")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*arguments, "name=killed"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    whole, killed = (torch.load(next((tmp_path / "outputs" / name).glob(f"*/{LAST}")), weights_only=True)["state_dict"]
                     for name in ("whole", "killed"))
    assert all(torch.equal(value, killed[key]) for key, value in whole.items())
