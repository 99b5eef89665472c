"""Batches are a function of the seed and the step, and are degraded as any picture is."""

import pytest
import torch
from needs import options
from PIL import Image

from dip_lab.compose import compose
from dip_lab.data.training_set import TrainingSet
from dip_lab.randomness import seed_of
from dip_lab.training import batches
from dip_lab.training.batches import HeldOut, Patches, Pictures, as_channels, dihedral
from dip_lab.training.build import degradation_of
from dip_lab.training.laws import std_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def source(tmp_path) -> TrainingSet:
    for number in range(5):
        Image.effect_noise((30 + number, 26), 60).save(tmp_path / f"{number}.png")
    return TrainingSet(str(tmp_path), [], 2, None, None)


def patches(source, *overrides, noise_map=False, **changes) -> Patches:
    task = compose(list(overrides), name="train").task
    degradation = degradation_of(task, noise_map)
    settings = {"patch": 16, "batch": 4, "epoch": 10, "seed": 3} | changes
    return Patches(Pictures(source, source.split()[0], None, 16, settings["seed"]), degradation, **settings)


def test_a_step_has_the_same_batch_whenever_it_comes(source):
    first, again = patches(source, "task.sigma=25"), patches(source, "task.sigma=25")
    again[4]
    for one, other in zip(first[7], again[7], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first[7][1], first[8][1])
    assert not torch.equal(first[7][1], patches(source, "task.sigma=25", seed=4)[7][1])


def test_patches_are_cut_out_of_the_pictures(source):
    held = [source.picture(name).pixels for name in source.names()]
    for patch in patches(source, "task.sigma=25")[0][1]:
        views = [dihedral(patch, view) for view in range(8)]
        found = [torch.any((windows - view).abs().amax((-3, -2, -1)) < 1e-6)
                 for picture in held[:3] for view in views
                 for windows in [picture.unfold(2, 16, 1).unfold(3, 16, 1)[0].movedim(0, -3).reshape(-1, 1, 16, 16)]]
        assert any(found)


def test_held_out_pictures_are_never_trained_on(source):
    trained, held = source.split()
    assert held == ["3.png", "4.png"] and not set(trained) & set(held)


def test_the_noise_map_says_each_patchs_own_sigma(source):
    dataset = patches(source, "task.sigma=[0,55]", "task.noise.clip=false", noise_map=True, batch=6)
    inputs, clean = dataset[2]
    assert inputs.shape == (6, 2, 16, 16)
    noise = dataset.degradation.task().noise
    for t in range(6):
        std = std_of(noise, seed_of(seed_of(3, "degradation", 2), "frame", t))
        assert torch.all(inputs[t, 1] == torch.tensor(std))
        assert float((inputs[t, 0] - clean[t, 0]).std()) == pytest.approx(std, rel=0.25, abs=1e-6)


@pytest.mark.parametrize("overrides, planes", [
    (["task=super_resolution", "task.factor=2"], 1), (["task=inpaint"], 2), (["task=jpeg"], 1), (["task=deblur"], 1),
    (["task=denoise", "task/noise=poisson"], 1), (["task=denoise", "task/noise=impulse"], 1),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_any_task_degrades_them(source, overrides, planes):
    inputs, clean = patches(source, *overrides)[0]
    assert inputs.shape == (4, planes, 16, 16) and clean.shape == (4, 1, 16, 16)
    assert inputs.isfinite().all() and not torch.equal(inputs[:, :1], clean)


@pytest.mark.parametrize("law", ["bernoulli", "blobs", "strokes", "text"])
def test_each_patch_has_a_mask_of_its_own(source, law):
    dataset = patches(source, "task=inpaint", f"task/mask={law}")
    known = dataset[0][0][:, 1:]
    assert len({tuple(mask.flatten().tolist()) for mask in known}) > 2
    assert torch.equal(known, dataset[0][0][:, 1:]) and not torch.equal(known, dataset[1][0][:, 1:])
    inputs, clean = dataset[0]
    assert torch.equal(inputs[:, :1], clean * known)


def test_a_noise_map_needs_noise_with_a_sigma(source):
    with pytest.raises(ValueError, match="Poisson has no standard deviation"):
        patches(source, "task/noise=poisson", noise_map=True)[0]


def test_of_a_large_set_each_epoch_sees_another_part(source, monkeypatch):
    monkeypatch.setattr(batches, "HELD", 1000)
    pictures = Pictures(source, source.split()[0], None, 16, 0)
    parts = [pictures.of_epoch(epoch) for epoch in range(8)]
    assert {len(part) for part in parts} <= {1, 2}
    assert len({part[0].shape for part in parts}) > 1
    assert torch.equal(Pictures(source, source.split()[0], None, 16, 0).of_epoch(5)[0], parts[5][0])


def test_colour_becomes_grey_and_grey_no_colour():
    colour = torch.rand(1, 3, 4, 4)
    assert torch.allclose(as_channels(colour, 1, "x")[0, 0], (colour[0] * batches.LUMA[0]).sum(0))
    with pytest.raises(ValueError, match="x is grey: give channels=1"):
        as_channels(torch.rand(1, 1, 4, 4), 3, "x")


def test_a_picture_smaller_than_a_patch_is_refused(source):
    with pytest.raises(ValueError, match="0.png: 30 x 26 px, smaller than a patch of 28"):
        Pictures(source, ["0.png"], None, 28, 0).of_epoch(0)


def test_the_held_out_pictures_keep_their_noise(source):
    task = compose(["task.sigma=[5,50]"], name="train").task
    degradation = degradation_of(task, True)
    one, other = (HeldOut(Pictures(source, [], None, 16, 0), source.split()[1], degradation, 20, 0) for _ in range(2))
    assert len(one) == 2
    assert one[0][1].target.shape == (1, 1, 20, 20)
    assert torch.equal(one[1][0], other[1][0]) and not torch.equal(one[0][0], one[1][0])


def test_every_training_set_is_known():
    assert {"bsd400", "bsds500", "div2k", "folder"} <= set(options("data/train"))
