"""Pictures that have their own noisy observation beside the target."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from shared import DATA, shared

from dip_lab.build import build_problem
from dip_lab.compose import cell_at, compose
from dip_lab.data.images import read_picture
from dip_lab.data.noisy_pairs import NoisyPairs
from dip_lab.metrics import psnr
from dip_lab.runs.folder import read_result

ROOT = Path(__file__).resolve().parents[2]
TINY = ["net=skip_narrow", "net.width=4", "net.depth=2", "iterations=2", "log_every=1", "logger=none", "device=cpu"]
SETS = {"cc15": 15, "polyu": 75}


def save(folder, name, seed, width=24, height=24, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(folder / name)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of data sets: `mine` with the pairs "a", of 24 x 24 px, and "b_1", of 32 x 26."""
    folder = tmp_path / "data" / "mine"
    folder.mkdir(parents=True)
    for name, size, seed in (("a", (24, 24), 1), ("b_1", (32, 26), 3)):
        save(folder, f"{name}_real.png", seed, *size)
        save(folder, f"{name}_mean.png", seed + 1, *size)
    save(folder, "other.png", 9)  # not half of a pair
    monkeypatch.delenv("DIP_LAB_DATA", raising=False)
    return str(tmp_path / "data")


def source(root, name="a", crop=None):
    return NoisyPairs(["mine"], name, crop, root)


def pixels_of(root, name):
    return read_picture(f"{root}/mine/{name}.png").pixels


def problem_of(root, *overrides, name="a"):
    return build_problem(compose(overrides).task, source(root, name).load(), 0)


def refusal(root, name="a", crop=None):
    with pytest.raises(ValueError) as refused:
        source(root, name, crop).load()
    assert "\n" not in str(refused.value)
    return str(refused.value)


# The pictures


def test_a_pair_is_its_two_files(root):
    images = source(root).load()
    assert (images.name, images.root) == ("a", root)
    assert torch.equal(images.pixels, pixels_of(root, "a_mean"))
    assert torch.equal(images.observed, pixels_of(root, "a_real"))


def test_the_names_are_those_before_the_ending(root):
    assert source(root).names() == ["a", "b_1"]


def test_both_are_cropped_alike(root):
    images = source(root, "b_1", crop=16).load()
    assert torch.equal(images.pixels, pixels_of(root, "b_1_mean")[..., 5:21, 8:24])
    assert torch.equal(images.observed, pixels_of(root, "b_1_real")[..., 5:21, 8:24])


@pytest.mark.parametrize("there, missing, remedy", [
    ("real", "mean", "restore it without a target:"), ("mean", "real", "let noise be added to it: task.sigma=25")])
def test_a_picture_whose_other_half_is_missing_is_refused(root, there, missing, remedy):
    save(Path(root) / "mine", f"c_{there}.png", 5)
    file = f"{root}/mine/c_{there}.png"
    assert source(root).names() == ["a", "b_1", "c"]
    assert refusal(root, "c") == (f"{file}: there is no c_{missing} beside it: put it there, or {remedy} "
                                  f"data=file data.path={file}")


def test_two_pictures_that_are_not_alike_are_refused(root):
    save(Path(root) / "mine", "a_mean.png", 5, 24, 20, "L")
    assert refusal(root) == ("data.name=a: a_real is 24 x 24 px with 3 channels, a_mean is 24 x 20 px with 1 channels: "
                             "give two pictures of one size")


def test_other_values_that_cannot_work_are_refused(root):
    assert refusal(root, None).endswith("there are a, b_1") and "data.name is missing" in refusal(root, None)
    assert refusal(root, "d") == "data.name=d: no such picture in this set; there are a, b_1"
    assert refusal(root, crop=4) == "data.crop=4: give a whole number of at least 8"


def test_the_hash_is_that_of_both_files_wherever_they_lie(root, tmp_path):
    def hash_of(*overrides):
        cfg = compose(["data=cc15", "logger=none", *overrides])
        return cell_at(cfg, cfg.hydra, None).hash

    mine = ["data.folders=[mine]", f"data.root={root}"]
    before = hash_of(*mine, "data.name=a")
    assert before not in (hash_of(*mine, "data.name=b_1"), hash_of(*mine, "data.name=a", "data.crop=16"))
    (tmp_path / "data" / "mine").rename(tmp_path / "data" / "moved")
    assert hash_of("data.folders=[moved]", f"data.root={root}", "data.name=a") == before
    for ending, seed in (("real", 5), ("mean", 6)):
        save(tmp_path / "data" / "moved", f"a_{ending}.png", seed)
        after = hash_of("data.folders=[moved]", f"data.root={root}", "data.name=a")
        assert after != before
        before = after


# The problem


@pytest.mark.parametrize("override", ["task.sigma=25", "task.sigma=50", "task/noise=none", "task/noise=poisson"])
def test_nothing_is_added_to_what_was_observed(root, override):
    problem = problem_of(root, override)
    assert torch.equal(problem.observation, pixels_of(root, "a_real"))
    assert torch.equal(problem.target, pixels_of(root, "a_mean"))
    assert problem.noise is None  # it is not known


def test_an_operator_acts_on_what_was_observed(root):
    images = source(root).load()
    for overrides in (["task=deblur"], ["task=super_resolution", "task.factor=2", "task/observe=operator"]):
        problem = problem_of(root, *overrides)
        assert torch.equal(problem.observation, problem.operator(images.observed))
        assert torch.equal(problem.target, images.pixels) and problem.noise is None


def test_the_observation_is_made_as_the_task_makes_it(root):
    """Shrunk by Pillow, which is not quite the operator."""
    own = problem_of(root, "task=super_resolution", "task.factor=2")
    alone = build_problem(compose(["task=super_resolution", "task.factor=2"]).task,
                          read_picture(f"{root}/mine/a_real.png"), 0)
    assert torch.equal(own.observation, alone.observation)
    assert not torch.equal(own.observation, own.operator(pixels_of(root, "a_real")))


def test_a_mask_takes_its_pixels_away_and_leaves_the_file_s_values(root):
    images = source(root).load()
    problem = build_problem(compose(["task=inpaint"]).task, images, 0)
    assert torch.equal(problem.observation, images.observed * problem.operator.known)
    assert torch.equal(images.observed, pixels_of(root, "a_real"))


def test_given_leaves_the_target_out(root):
    problem = problem_of(root, "task.given=true")
    assert torch.equal(problem.observation, pixels_of(root, "a_real"))
    assert problem.target is None and problem.noise is None


def test_a_file_named_by_the_task_replaces_the_observation(root):
    problem = problem_of(root, f"task.observation={root}/mine/other.png")
    assert torch.equal(problem.observation, pixels_of(root, "other"))


def test_a_fit_reports_the_psnr_of_the_file(root, command, tmp_path):
    code, printed = command("data=cc15", "data.folders=[mine]", "data.name=a", f"data.root={root}", *TINY)
    assert code == 0, printed
    (folder,) = (tmp_path / "outputs").glob("*/denoise-skip_narrow-a-*")
    expected = psnr(pixels_of(root, "a_real"), pixels_of(root, "a_mean"))
    assert read_result(folder)["psnr_observed"] == pytest.approx(float(expected), abs=1e-4)


# The public sets


@pytest.mark.parametrize("name", SETS)
def test_a_public_set_lists_its_pairs_without_any_data_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIP_LAB_DATA", raising=False)
    path = ROOT / "configs" / "data" / f"{name}.yaml"
    node = OmegaConf.load(path)
    assert set(node) == {"_target_", *NoisyPairs.__dataclass_fields__}
    listed = NoisyPairs(node.folders, None, None, None)
    assert len(listed.names()) == SETS[name] and all(len(files) == 2 for files in listed._pairs().values())
    assert re.search(r"data\.name=(\w+)", path.read_text())[1] in listed.names()
    assert "non-commercial" in path.read_text()
    cfg = compose([f"experiment=real/{name}"])
    assert sorted(cfg.table.pictures) == sorted(listed.names())
    assert sorted(cfg.hydra.sweeper.params["data.name"].split(", ")) == sorted(listed.names())


@shared("real/cc15", "real/polyu")
@pytest.mark.parametrize("name, picture, crop, expected", [
    ("cc15", "d800_iso6400_1", None, 29.629), ("cc15", "d800_iso6400_1", 64, 29.592),
    ("polyu", "Sony_4_200_3200_door_10", None, 34.955)])
def test_the_noise_of_the_shared_pictures_is_as_measured(name, picture, crop, expected):
    node = OmegaConf.load(ROOT / "configs" / "data" / f"{name}.yaml")
    images = NoisyPairs(node.folders, picture, crop, str(DATA)).load()
    side = crop or 512
    assert images.pixels.shape == images.observed.shape == (1, 3, side, side)
    assert float(psnr(images.observed, images.pixels)) == pytest.approx(expected, abs=2e-3)
