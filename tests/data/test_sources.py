import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from dip_lab.data import listing
from dip_lab.data.file import File
from dip_lab.data.folder import Folder
from dip_lab.data.sample import Sample

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path):
    for name, level in (("b.png", 20), ("a.JPG", 10), ("101085.bmp", 30)):
        Image.new("L", (24, 16), level).save(tmp_path / name)
    (tmp_path / "x.png").mkdir()
    Image.new("L", (16, 16)).save(tmp_path / "x.png" / "inside.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._a.jpg").write_bytes(b"Finder's")
    return tmp_path


def test_listing_is_sorted_and_passes_over_what_is_no_picture(photos):
    assert listing.pictures_in(photos) == ["101085.bmp", "a.JPG", "b.png"]
    assert listing.pictures_in(str(photos / "x.png")) == ["inside.png"]


def test_listing_needs_no_torch():
    code = "import sys, dip_lab.data.listing; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_listing_refuses_a_missing_folder_a_file_and_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="data.path: .*nowhere is not a folder"):
        listing.pictures_in(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no picture in .*looked for .*.jfif"):
        listing.pictures_in(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="a.png is a file, not a folder: use data=file"):
        listing.pictures_in(tmp_path / "a.png")


def test_the_extensions_are_pillow_s_own():
    known = Image.registered_extensions()
    of_reader = {"JPEG": {"JPEG", "MPO"}}  # its reader opens both
    assert set(listing.FORMATS) <= set(Image.OPEN)
    for kind, extensions in listing.FORMATS.items():
        assert set(extensions) == {end for end, name in known.items() if name in of_reader.get(kind, {kind})}


@pytest.mark.parametrize("end, kind", [(".jfif", "JPEG"), (".JPE", "JPEG"), (".ppm", "PPM"), (".avif", "AVIF"),
                                       (".apng", "PNG"), (".dib", "DIB")])
def test_every_kind_of_a_folder_is_listed_and_read(tmp_path, end, kind):
    Image.new("RGB", (24, 16), (200, 100, 50)).save(tmp_path / f"a{end}", kind)
    picture = Folder(str(tmp_path)).load()
    assert picture.name == "a" and torch.allclose(picture.pixels.mean((0, 2, 3)) * 255, torch.tensor([200., 100, 50]),
                                                  atol=3)


def test_one_line_says_which_files_of_a_folder_are_left_out(photos, caplog):
    (photos / "raw.cr2").write_bytes(b"")
    for _ in range(2):
        assert Folder(str(photos), "a").load().name == "a"
    assert caplog.messages == [f"{photos}: 2 files are no pictures that can be read, and left out: notes.txt, raw.cr2"]
    assert listing.pictures_in(photos / "x.png") == ["inside.png"] and len(caplog.records) == 1


@pytest.mark.parametrize("name, level", [("a", 10), ("a.JPG", 10), ("b.png", 20), (101085, 30)])
def test_folder_picks_by_file_name_or_stem(photos, name, level):
    picture = Folder(str(photos), name).load()
    assert picture.name == str(name).split(".")[0]
    assert torch.allclose(picture.pixels, torch.tensor(level / 255))


def test_folder_without_a_name(photos):
    with pytest.raises(ValueError, match=r"3 pictures \(101085.bmp, a.JPG, b.png\): add -m .*data.name="):
        Folder(str(photos)).load()
    assert Folder(str(photos / "x.png")).load().name == "inside"


def test_folder_refuses_unknown_and_ambiguous_names(photos):
    with pytest.raises(ValueError, match="data.name=zebra: no such picture in .*101085.bmp, a.JPG, b.png"):
        Folder(str(photos), "zebra").load()
    Image.new("L", (16, 16)).save(photos / "b.gif")
    with pytest.raises(ValueError, match=r"data.name=b fits b.gif, b.png"):
        Folder(str(photos), "b").load()


def test_file_and_folder_shrink_the_longest_side(photos):
    assert File(str(photos / "b.png"), 12).load().pixels.shape == (1, 1, 8, 12)
    assert Folder(str(photos), "b", 12).load().pixels.shape == (1, 1, 8, 12)
    assert File(str(photos / "b.png")).load().pixels.shape == (1, 1, 16, 24)


def test_relative_paths_start_where_the_command_was_typed(photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert File("b.png").load().name == "b"
    assert Folder(".", "b").load().name == "b"


def test_sample_is_skimage_s_picture():
    data = pytest.importorskip("skimage.data")
    np.testing.assert_array_equal(
        Sample("camera", None).load().pixels[0, 0].numpy(), data.camera() / np.float32(255)
    )
    astronaut = data.astronaut()[:256, 97:353].astype(np.float32) / 255
    np.testing.assert_array_equal(
        Sample("astronaut", 256).load().pixels[0].permute(1, 2, 0).numpy(), astronaut
    )


def test_every_sample_named_in_the_error_loads():
    with pytest.raises(ValueError, match="data.name=lena: no such picture in the bundled samples") as refused:
        Sample("lena", 32).load()
    names = str(refused.value).split("there are ")[1].split(", ")
    assert {"astronaut", "camera", "chelsea", "coffee", "rocket"} <= set(names)
    for name in names:
        picture = Sample(name, 32).load()
        assert picture.name == name and picture.pixels.shape[-2:] == (32, 32)


@pytest.mark.parametrize("source", [Sample, File, Folder])
def test_yaml_names_the_class_and_its_arguments(source):
    stem = source.__module__.rsplit(".", 1)[1]
    path = ROOT / "configs" / "data" / f"{stem}.yaml"
    assert path.read_text().startswith("# ")
    config = OmegaConf.load(path)
    assert config.pop("_target_") == f"{source.__module__}.{source.__name__}"
    assert set(config) == set(source.__dataclass_fields__)


def test_the_default_sample_loads():
    config = OmegaConf.load(ROOT / "configs" / "data" / "sample.yaml")
    assert Sample(config.name, config.size).load().pixels.shape == (1, 3, 256, 256)
