"""A generator of pictures: it learns without a task, is continued exactly, and is no restorer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dip_lab.nets.dcgan import DCGAN
from dip_lab.objectives.generative import grid, patches_of, sliced_distance
from dip_lab.training.checkpoint import LAST, Card, load, restorer_of
from dip_lab.training.module import Training
from dip_lab.training.sampler import Sampler
from tests.training.killing import Killed, folder_of

pytestmark = pytest.mark.usefixtures("photos")
TINY = ["objective=generative", "net=dcgan", "net.width=4", "objective.discriminator={width:4,layers:2}",
        "data=train/folder", "data.path=photos", "patch=32", "batch=4", "iterations=6", "epoch=2", "logger=none",
        "device=cpu", "precision=float32", "threads=1"]
CARD = Card("dcgan", {"width": 4}, 3, 1, False, False, "generative", {}, None, None, "train/folder",
            objective="generative")


def test_it_leaves_a_generator_and_samples(train):
    code, said = train(*TINY)
    assert code == 0, said
    folder = folder_of()
    assert folder.name.startswith("generative-dcgan-folder-") and (folder / "held_out.png").is_file()
    rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "iteration,seconds,loss,lr,swd,hinge" and len(rows) == 4
    assert f"generator.init_from=outputs/train/{folder.name}" in said and "latent=learned" in said
    content = torch.load(folder / LAST, weights_only=True)
    card = Card.of(content["card"])
    assert (card.channels, card.maps, card.task, card.objective) == (3, 1, "generative", "generative")
    assert content["state_dict"]["restorer.net.first.weight"].shape == (32, 4, 3, 3)


def test_it_learns_the_colours(train):
    train(*TINY, "iterations=80", "epoch=40", "optimizer.lr=0.002", "objective.optimizer.lr=0.002",
          "descent/schedule=constant")
    rows = (folder_of() / "history.csv").read_text(encoding="utf-8").splitlines()
    assert float(rows[-1].split(",")[4]) < 70  # it begins at about 90


def test_it_is_continued_exactly(train, monkeypatch):
    train(*TINY, "name=whole")
    before = Training.training_step

    def dies(self, batch, batch_idx):
        if self.step == 3:
            raise Killed
        return before(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "training_step", dies)
        with pytest.raises(Killed):
            train(*TINY, "name=killed")
    code, said = train(*TINY, "name=killed")
    assert code == 0 and "goes on from" in said, said
    whole, killed = (torch.load(folder_of(name) / LAST, weights_only=True)["state_dict"]
                     for name in ("whole", "killed"))
    for key, value in whole.items():
        assert key.endswith("_extra_state") or torch.equal(value, killed[key]), key
    assert whole["critic._extra_state"]["steps"] == killed["critic._extra_state"]["steps"] == 6


def test_the_task_does_not_matter(train):
    for more in ([], ["task.sigma=50"], ["task=deblur"]):
        assert train(*TINY, "iterations=1", *more)[0] == 0
    assert len(list(Path("outputs", "train").iterdir())) == 1


def test_a_generator_is_no_restorer(train):
    with pytest.raises(ValueError, match="is a generator of pictures .* generator.init_from="):
        restorer_of(CARD)
    assert restorer_of(replace(CARD, objective="restoration", net="ffdnet", options={})).channels == 3
    train(*TINY, "iterations=1")
    with pytest.raises(ValueError, match=r"best\.ckpt: is a generator of pictures"):
        load(str(folder_of()))


@pytest.mark.parametrize("overrides, said", [
    (["net=ffdnet"], "objective=generative: FFDNet makes no picture from a small random latent: give net=dcgan"),
    (["objective.degraded=true"], "objective.degraded=true: a generator learns from clean pictures"),
    (["objective.depth=0"], "objective.depth=0: give a whole number of at least 1"),
])
def test_mistakes_are_one_line(train, overrides, said):
    own = [text for text in TINY if not text.startswith("net") or overrides[0].startswith("objective")]
    code, printed = train(*own, *overrides)
    assert code == 2 and said in printed and len(printed.strip().splitlines()) == 1, printed


def test_samples_depend_on_seed_and_purpose_and_have_any_size(one_thread):
    sampler = Sampler(DCGAN(4, 3, 4), 4)
    samples = sampler.drawn(20, 40, 33, 0, "shown")
    assert samples.shape == (20, 3, 40, 33) and 0 <= samples.min() and samples.max() <= 1
    assert torch.equal(samples, sampler.drawn(20, 40, 33, 0, "shown"))
    assert not torch.equal(samples, sampler.drawn(20, 40, 33, 1, "shown"))
    assert not torch.equal(samples, sampler.drawn(20, 40, 33, 0, "held out"))


def test_the_distance_is_zero_for_equal_and_grows_with_the_difference(one_thread):
    generator = torch.Generator().manual_seed(0)
    stack = torch.rand(8, 3, 16, 16, generator=generator)
    other = torch.rand(8, 3, 16, 16, generator=generator)
    near, far = sliced_distance(stack, other, 0), sliced_distance(stack, 0.5 + 0.1 * other, 0)
    assert near < 8 < far < sliced_distance(stack, torch.ones_like(stack), 0)
    shift = sliced_distance(stack, stack + 0.1, 0)
    assert shift > 2 * near


def test_patches_and_grid():
    picture = torch.arange(2 * 5 * 7).reshape(1, 2, 5, 7).float()
    patches = patches_of(picture, 2)
    assert patches.shape == (6, 2, 2, 2)
    assert torch.equal(patches[0], picture[0, :, :2, :2]) and torch.equal(patches[4], picture[0, :, 2:4, 2:4])
    shown = grid(torch.rand(7, 3, 4, 6))
    assert shown.shape == (1, 3, 5 * 6, 5 * 8) and (shown[..., -1, -1] == 1).all()
    assert (shown[..., -6:, :] == 1).all()  # there are only seven
