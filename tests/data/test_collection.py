"""The pictures of data sets that are on this machine, and observations that are given ready-made."""

import numpy as np
import pytest
import torch
from PIL import Image

from dip_lab.build import build_problem, load_images
from dip_lab.compose import compose
from dip_lab.data.collection import Collection
from dip_lab.data.images import read_picture

TINY = ["net=skip_narrow", "net.width=4", "net.depth=2", "iterations=2", "log_every=1", "logger=none", "device=cpu"]


def pixels_of(seed, height, width, channels=3):
    shape = (height, width, channels) if channels == 3 else (height, width)
    return np.random.default_rng(seed).integers(1, 256, shape, dtype=np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of data sets: Set12 with two pictures, of 40 x 70 and 24 x 24 px, and one that is not registered."""
    for seed, name, size in ((1, "01", (40, 70)), (2, "10", (24, 24)), (3, "own", (24, 24))):
        save(tmp_path / "data" / "Set12" / f"{name}.png", pixels_of(seed, *size, channels=1))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DIP_LAB_DATA", raising=False)
    return str(tmp_path / "data")


def set12(root, name="01", size=None, multiple=1):
    return Collection(["Set12"], name, size, multiple, root).load()


def line_of(refused):
    assert "\n" not in str(refused.value)
    return str(refused.value)


# A picture of a set


def test_a_picture_is_as_in_its_file(root):
    picture = set12(root)
    assert (picture.name, picture.root) == ("01", root)
    assert torch.equal(picture.pixels, read_picture(f"{root}/Set12/01.png").pixels)
    assert set12(root, "own").name == "own"


def test_the_variable_names_the_folder_too(root, monkeypatch):
    monkeypatch.setenv("DIP_LAB_DATA", root)
    assert torch.equal(set12(None).pixels, set12(root).pixels)


@pytest.mark.parametrize("name", [10, "10"])
def test_the_command_line_reads_some_names_as_numbers(root, name):
    assert set12(root, name).name == "10"


def test_multiple_crops_around_the_middle(root):
    whole, cut = set12(root).pixels, set12(root, multiple=32).pixels
    assert torch.equal(cut, whole[..., 4:36, 3:67])
    with pytest.raises(ValueError, match="10: 24 x 24 px is less than data.multiple=32"):
        set12(root, "10", multiple=32)
    with pytest.raises(ValueError, match="data.multiple"):
        set12(root, multiple=0)


def test_size_is_the_longest_side_after_the_crop(root):
    assert set12(root, size=35).pixels.shape == (1, 1, 20, 35)
    assert set12(root, size=32, multiple=32).pixels.shape == (1, 1, 16, 32)


@pytest.mark.parametrize("name, said", [(None, "data.name is missing"), ("zebra", "data.name=zebra: no such picture")])
def test_a_missing_or_unknown_name_lists_the_names(root, name, said):
    with pytest.raises(ValueError, match=said) as refused:
        set12(root, name)
    assert line_of(refused).endswith("there are 01, 02, 03, 04, 05, 06, 07, 08, 09, 10, 11, 12, own")


# At the command line


@pytest.mark.parametrize("name", ["01", "10"])
def test_a_name_that_looks_like_a_number(root, command, tmp_path, name):
    code, printed = command("data=set12", f"data.name={name}", f"data.root={root}", "data.size=16", *TINY)
    assert code == 0, printed
    (folder,) = (tmp_path / "outputs").glob("*/*")
    assert folder.name.startswith(f"denoise-skip_narrow-{name}-")


def test_a_missing_name_at_the_command_line(root, command):
    code, printed = command("data=set12", f"data.root={root}", *TINY)
    assert code == 2 and "Traceback" not in printed
    assert "data.name is missing" in printed and "there are 01, 02" in printed


# An observation that is given ready-made


@pytest.fixture
def picture(tmp_path):
    return read_picture(save(tmp_path / "target.png", pixels_of(4, 24, 32)))


def problem_of(picture, *overrides):
    return build_problem(compose(overrides).task, picture, 0)


def test_the_observation_is_the_file_and_the_picture_the_target(picture, tmp_path):
    noisy = save(tmp_path / "noisy.png", pixels_of(5, 24, 32))
    problem = problem_of(picture, f"task.observation={noisy}")
    assert torch.equal(problem.observation, read_picture(noisy).pixels)
    assert torch.equal(problem.target, picture.pixels)
    assert problem.noise is None  # it is not known


def test_the_observation_of_super_resolution_has_the_small_size(picture, tmp_path):
    small = save(tmp_path / "small.png", pixels_of(5, 12, 16))
    problem = problem_of(picture, "task=super_resolution", "task.factor=2", f"task.observation={small}")
    assert torch.equal(problem.observation, read_picture(small).pixels)
    assert problem.image_shape == (1, 3, 24, 32)


def test_an_observation_may_lie_in_the_data_folder_of_its_picture(root, tmp_path):
    noisy = save(tmp_path / "data" / "mine" / "noisy.png", pixels_of(6, 24, 24, channels=1))
    problem = problem_of(set12(root, "10"), "task.observation=mine/noisy.png")
    assert torch.equal(problem.observation, read_picture(noisy).pixels)


@pytest.mark.parametrize("task, height, width, channels", [
    ("denoise", 24, 31, 3),
    ("denoise", 24, 32, 1),
    ("inpaint", 32, 24, 3),
    ("super_resolution", 24, 32, 3),
])
def test_the_observation_of_another_picture_is_refused(picture, tmp_path, task, height, width, channels):
    other = save(tmp_path / "other.png", pixels_of(5, height, width, channels))
    with pytest.raises(ValueError) as refused:
        problem_of(picture, f"task={task}", f"task.observation={other}")
    wanted = "8 x 6" if task == "super_resolution" else "32 x 24"
    assert line_of(refused).startswith(f"task.observation={other} is {width} x {height} px with {channels} channels, "
                                       f"but target is observed as {wanted} px with 3")


def test_a_missing_observation_is_refused(picture):
    with pytest.raises(ValueError, match="no such file: nowhere.png") as refused:
        problem_of(picture, "task.observation=nowhere.png")
    line_of(refused)


def test_what_lies_under_a_hole_is_not_used(picture, tmp_path):
    seen, noise = pixels_of(5, 24, 32), pixels_of(6, 24, 32)
    known = problem_of(picture, "task=inpaint").operator.known[0, 0].bool().numpy()
    assert 0 < known.sum() < known.size
    problem, other = (
        problem_of(picture, "task=inpaint", f"task.observation={save(tmp_path / name, pixels)}")
        for name, pixels in (("a.png", seen), ("b.png", np.where(known[..., None], seen, noise)))
    )
    assert torch.equal(problem.observation, other.observation)
    assert bool((problem.observation.flatten(0, 1)[:, ~torch.from_numpy(known)] == 0).all())
    assert torch.equal(problem.counted, problem.operator.known)
    assert torch.equal(problem.target, picture.pixels)


OBSERVED = ("task=inpaint", "task/mask=observed")


def test_what_is_not_black_in_the_observation_is_known(picture, tmp_path):
    holed = pixels_of(5, 24, 32)
    holed[:, :8] = 0
    holed[3, 4] = (0, 0, 7)  # one channel is enough
    problem = problem_of(picture, *OBSERVED, f"task.observation={save(tmp_path / 'holed.png', holed)}")
    expected = torch.ones(1, 1, 24, 32)
    expected[..., :8] = 0
    expected[..., 3, 4] = 1
    assert torch.equal(problem.operator.known, expected) and torch.equal(problem.counted, expected)
    assert torch.equal(problem.observation, read_picture(tmp_path / "holed.png").pixels)
    assert torch.equal(problem.target, picture.pixels)


def test_a_mask_of_the_observation_needs_an_observation_of_the_same_size(picture, tmp_path):
    with pytest.raises(ValueError, match="task/mask=observed needs task.observation=") as refused:
        problem_of(picture, *OBSERVED)
    line_of(refused)
    small = save(tmp_path / "small.png", pixels_of(5, 12, 16))
    with pytest.raises(ValueError, match=r"small.png is 16 x 12 px .* but the picture is 32 x 24 px") as refused:
        problem_of(picture, *OBSERVED, f"task.observation={small}")
    assert line_of(refused).startswith("task.observation=")
    black = save(tmp_path / "black.png", np.zeros((24, 32, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="nothing is known") as refused:
        problem_of(picture, *OBSERVED, f"task.observation={black}")
    line_of(refused)


def test_a_set_that_is_nowhere(monkeypatch):
    monkeypatch.delenv("DIP_LAB_DATA", raising=False)
    with pytest.raises(ValueError, match=r"^data\.name=beach: no picture of this set is here: give .* DIP_LAB_DATA$"):
        load_images(compose(["data=large_hole", "data.name=beach"]).data)
