import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from shared import DATA, shared

from dip_lab.data.grouping import group_of, groups_in
from dip_lab.data.pairs import Pairs
from dip_lab.data.sources import Sources

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    def save(name, level, mode="L", size=(24, 16)):
        Image.new(mode, size, level).save(tmp_path / name)

    for letter, level in zip("ABC", (10, 20, 30), strict=True):
        save(f"lytro-01-{letter}.png", level)
    save("Camp_IR.png", 40)
    save("Camp_Vis.png", (200, 100, 50), "RGB")
    save("alone.png", 1)
    save("010_CT.tif", 60)
    save("010_MR-T2.tif", 70, size=(20, 16))
    return tmp_path


def test_sources_are_stacked_in_order(folder):
    picture = Sources([str(folder / f"lytro-01-{letter}.png") for letter in "BAC"], None).load()
    assert picture.name == "lytro-01" and picture.pixels.shape == (3, 1, 16, 24)
    assert torch.allclose(picture.pixels[:, 0, 0, 0] * 255, torch.tensor([20.0, 10.0, 30.0]))


def test_a_grey_source_beside_a_coloured_one(folder):
    picture = Sources([str(folder / "Camp_IR.png"), str(folder / "Camp_Vis.png")], None).load()
    assert picture.name == "Camp" and picture.pixels.shape == (2, 3, 16, 24) and picture.alpha is None
    assert torch.allclose(picture.pixels[:, :, 3, 3] * 255, torch.tensor([[40.0, 40, 40], [200, 100, 50]]))


def test_all_shrink_alike(folder):
    assert Pairs(str(folder), "Camp", 12, "_-").load().pixels.shape == (2, 3, 8, 12)


def test_names_without_a_common_beginning(folder):
    assert Sources([str(folder / "alone.png"), str(folder / "Camp_IR.png")], None).load().name == "alone"


def test_what_is_refused(folder):
    with pytest.raises(ValueError, match=r"010_CT\.tif is 24 x 16 px and .*010_MR-T2\.tif is 20 x 16 px .*: register"):
        Sources([str(folder / "010_CT.tif"), str(folder / "010_MR-T2.tif")], 16).load()
    for one in (["a.png"], "a.png", []):
        with pytest.raises(ValueError, match=r"^data\.paths=\[.*\]: give two or more pictures"):
            Sources(one, None).load()
    with pytest.raises(ValueError, match="no such file"):
        Sources([str(folder / "alone.png"), str(folder / "none.png")], None).load()


@pytest.mark.parametrize("stem, name", [
    ("lytro-01-A", "lytro-01"), ("Camp_IR", "Camp"), ("c01_1", "c01"), ("010_CT", "010"), ("010_MR-T2", "010"),
    ("010_SPECT-Tc", "010"), ("door1", "door"), ("door12", "door"), ("FLIR_video_04111_Vis", "FLIR_video_04111"),
    ("alone", "alone"), ("12", "12"), ("_x", "_x"),
])
def test_names_of_groups(stem, name):
    assert group_of(stem, "_-") == name


def test_groups_of_a_folder(folder):
    assert groups_in(folder, "_-") == {
        "010": ["010_CT.tif", "010_MR-T2.tif"], "Camp": ["Camp_IR.png", "Camp_Vis.png"],
        "lytro-01": [f"lytro-01-{letter}.png" for letter in "ABC"]}
    (folder / "lone").mkdir()
    Image.new("L", (16, 16)).save(folder / "lone" / "a.png")
    with pytest.raises(ValueError, match=r"no two pictures in .*lone share a name .*: use data=sources data\.paths="):
        groups_in(folder / "lone", "_-")


def test_pairs(folder, tmp_path):
    picture = Pairs(str(folder), "lytro-01", None, "_-").load()
    assert picture.name == "lytro-01" and picture.pixels.shape == (3, 1, 16, 24)
    with pytest.raises(ValueError, match=r"holds 3 groups \(010, Camp, lytro-01\): add -m to fuse each"):
        Pairs(str(folder), None, None, "_-").load()
    with pytest.raises(ValueError, match=r"^data\.name=10: no such group in .*; there are 010, Camp, lytro-01$"):
        Pairs(str(folder), 10, None, "_-").load()
    (tmp_path / "one").mkdir()
    for number in (1, 2):
        Image.new("L", (16, 16)).save(tmp_path / "one" / f"door{number}.png")
    assert Pairs(str(tmp_path / "one"), None, None, "_-").load().name == "door"


def test_grouping_needs_no_torch():
    code = "import sys, dip_lab.data.grouping; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@shared("fusion")
@pytest.mark.parametrize("kind, count", [("multifocus_lytro", 10), ("multifocus_lytro_triple", 1), ("ir_vis_tno", 8),
                                         ("ir_vis_roadscene", 6), ("medical_harvard", 6), ("multi_exposure", 1)])
def test_groups_of_the_shared_pictures(kind, count):
    groups = groups_in(DATA / "fusion" / kind, "_-")
    assert len(groups) == count
    sizes = {len(files) for files in groups.values()}
    assert sizes == {"multifocus_lytro_triple": {3}, "medical_harvard": {2, 3}, "multi_exposure": {5}}.get(kind, {2})
