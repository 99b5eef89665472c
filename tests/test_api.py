import json
import subprocess
import sys
import threading
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import VersionBase
from packaging.version import Version
from PIL import Image

import dip_lab
from dip_lab.data.images import Images

FAST = ("net.width=4", "net.depth=2", "iterations=6", "log_every=2", "device=cpu")
RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (16, 20), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (16, 20, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass


def restore(picture, *overrides, **options):
    return dip_lab.restore(picture, overrides=[*FAST, *overrides], **options)


def as_tensor(array):
    return torch.from_numpy(array).permute(2, 0, 1).float() / 255


def test_every_kind_of_picture_gives_the_same(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "photo.png")
    kinds = {"array": COLOUR, "PIL": Image.fromarray(COLOUR), "tensor": as_tensor(COLOUR),
             "path": tmp_path / "photo.png", "str": str(tmp_path / "photo.png"), "floats": COLOUR / 255}
    images = {kind: restore(picture).image for kind, picture in kinds.items()}
    for kind, image in images.items():
        assert image.shape == (1, 3, 16, 20), kind
        torch.testing.assert_close(image, images["array"], rtol=0, atol=0 if kind != "floats" else 1e-4)


def test_grey(tmp_path):
    restoration = restore(GREY)
    assert restoration.image.shape == (1, 1, 16, 20)
    assert restoration.numpy().shape == (16, 20)
    assert restoration.pil().mode == "L"


def test_overrides_and_groups():
    restoration = restore(COLOUR, "stopping=fixed", "average=none", "seed=4", "task.sigma=50")
    summary = restoration.summary
    assert (summary["stopping"], summary["average"], summary["seed"]) == ("fixed", "none", 4)
    assert summary["iterations"] == 6
    assert summary["psnr_observed"] < restore(COLOUR, "task.sigma=25").summary["psnr_observed"]
    unet = dip_lab.restore(COLOUR, net="unet", overrides=["iterations=2", "device=cpu"])
    assert unet.summary["net"] == "unet"


@pytest.mark.parametrize("overrides", [(), ("task.given=true",), ("task.given=true", "task.sigma=25")])
def test_denoise_a_picture_that_is_noisy_already(overrides):
    restoration = restore(COLOUR, *overrides)
    assert restoration.summary["psnr"] is None
    assert torch.equal(restoration.pictures["observed"][0], as_tensor(COLOUR))


@pytest.mark.parametrize("given", ["true", "false"])
def test_inpaint(given, tmp_path):
    mask = np.full((16, 20), 255, np.uint8)
    mask[4:9, 5:12] = 0
    Image.fromarray(mask).save(tmp_path / "holes.png")
    restoration = restore(COLOUR, f"task.given={given}", "task/mask=file",
                          f"task.mask.path={tmp_path / 'holes.png'}", task="inpaint")
    assert restoration.answer == "dip_inpainted"
    assert restoration.image.shape == (1, 3, 16, 20)
    observed = restoration.pictures["observed"][0]
    assert (observed[:, 4:9, 5:12] == 0).all()
    known = torch.from_numpy(mask > 0)
    assert torch.equal(observed[:, known], as_tensor(COLOUR)[:, known])
    assert (restoration.summary["psnr_hole"] is None) == (given == "true")


@pytest.mark.parametrize(("given", "size"), [("true", (32, 40)), ("false", (16, 20))])
def test_super_resolution(given, size):
    restoration = restore(COLOUR, f"task.given={given}", "task.factor=2", task="super_resolution")
    assert restoration.answer == "dip_superres_x2"
    assert restoration.image.shape == (1, 3, *size)
    assert restoration.pictures["observed"].shape == (1, 3, *size)
    assert (restoration.summary["psnr_y"] is None) == (given == "true")


@pytest.mark.parametrize(("options", "message"), [
    ({"overrides": ["task.sigmaa=3"]}, "task.sigmaa.*did you mean task.sigma"),
    ({"net": "skipp"}, "did you mean skip"),
    ({"task": "denoize"}, "did you mean denoise"),
    ({"overrides": ["stopping=wvm"]}, "did you mean wmv"),
    ({"overrides": ["iterations=0"]}, "iterations=0"),
    ({"overrides": ["task.sigma=-1"]}, "sigma"),
    ({"overrides": ["precision=half"]}, "precision=half"),
    ({"overrides": ["logger=csv"]}, "logger=csv.*folder"),
    ({"overrides": ["iterations"]}, "iterations"),
    ({"task": "inpaint", "overrides": ["task.mask.path=no/such.png"]}, "no/such.png"),
    ({"overrides": ["data.size=8"]}, "data.size=8: the picture is given"),
    ({"overrides": ["data.clean=true"]}, "data.clean=true: the picture is given"),
    ({"overrides": ["+data=file"]}, "data=file: the picture is given"),
    ({"overrides": {"task.sigma": 25}}, r"list of texts: overrides=\['task.sigma=25'\]"),
    ({"overrides": "task.sigma=25 seed=1"}, r"overrides=\['task.sigma=25', 'seed=1'\]"),
    ({"overrides": [("task.sigma", 25)]}, "is not a text"),
    ({"net": ["skip", "unet"]}, "net takes one option.*-m net=skip,unet"),
])
def test_a_mistake_is_one_line(options, message):
    with pytest.raises(ValueError, match=message) as raised:
        dip_lab.restore(COLOUR, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("picture", [np.zeros((4, 4)), np.full((16, 16), np.nan), np.full((16, 16), 7.0), "no.png",
                                     [[1, 2]], torch.zeros(16, 16, dtype=torch.int64)],
                         ids=["small", "NaN", "range", "no file", "list", "integers"])
def test_a_wrong_picture_is_refused(picture, tmp_path):
    with pytest.raises(ValueError):
        restore(picture, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


OPTIONS = [(), ("average=none", "stopping=fixed"), ("optimizer=sgd", "latent=meshgrid")]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_second_fit_of_a_process_equals_the_first(options):
    first = restore(COLOUR, *options)
    restore(GREY, "seed=9", net="skip_narrow", task="inpaint")  # so that another job leaves its traces
    with pytest.raises(ValueError):
        restore(COLOUR, "precision=wrong")
    torch.manual_seed(77)
    np.random.seed(77)
    second = restore(COLOUR, *options)
    assert torch.equal(first.image, second.image)
    assert first.history.column("loss") == second.history.column("loss")


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    restore(COLOUR)
    assert list(tmp_path.iterdir()) == []


def test_with_a_folder_there_are_the_files_of_a_run(tmp_path):
    options = ("iterations=12", "callbacks.checkpoint.seconds=0", "callbacks.guard.every=5")
    first = restore(COLOUR, *options, folder=tmp_path / "a" / "run")
    result = json.loads((tmp_path / "a" / "run" / "result.json").read_text())
    assert result["status"] == "done" and result["psnr"] == first.summary["psnr"]
    again = restore(COLOUR, *options, folder=tmp_path / "a" / "run")
    assert torch.equal(again.image, first.image)
    assert again.summary["psnr"] == first.summary["psnr"]
    with pytest.raises(ValueError, match="another experiment or picture"):
        restore(255 - COLOUR, *options, folder=tmp_path / "a" / "run")
    with pytest.raises(ValueError, match="another experiment or picture"):
        restore(COLOUR, folder=tmp_path / "a" / "run")


def test_names_of_files_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("[1], it's.png", "${y}.png"):
        Image.fromarray(GREY).save(name)
        restored = dip_lab.restore(None, overrides=[*FAST, "data=file", f"data.path={name}"], folder=f"~/{name}")
        assert restored.image.shape == (1, 1, 16, 20) and (tmp_path / "home" / name / "result.json").exists()
    assert not Path("~").exists()


def test_a_tracker_of_lightning_writes_into_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    restore(COLOUR, "logger=csv", folder=tmp_path / "run")
    assert len((tmp_path / "run" / "csv" / "metrics.csv").read_text().splitlines()) > 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_hydra_is_left_as_it_was():
    before = HydraConfig.instance().cfg
    restore(COLOUR)
    assert HydraConfig.instance().cfg is before
    assert not GlobalHydra.instance().is_initialized()


def test_the_callers_hydra_is_left_as_it_was(tmp_path):
    (tmp_path / "own.yaml").write_text("a: 1")
    base = VersionBase.instance().version_base
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.2"):
        restore(COLOUR)
        with pytest.raises(ValueError, match="no such key"):
            restore(COLOUR, "task.sigmaa=3")
        assert hydra.version.getbase() == Version("1.2") and hydra.compose("own") == {"a": 1}
    VersionBase.instance().version_base = base


def test_threads_give_the_numbers_of_one_thread():
    expected, found = restore(COLOUR).image, []
    threads = [threading.Thread(target=lambda: found.append(restore(COLOUR).image)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and all(torch.equal(image, expected) for image in found)


def test_after_the_command_line_in_the_same_process(command):
    first = restore(COLOUR)
    code, printed = command(*FAST, "data.size=16", "logger=none")
    assert code == 0, printed
    assert torch.equal(restore(COLOUR).image, first.image)


def test_importing_the_package_is_quick():
    code = "import sys, dip_lab; assert 'torch' not in sys.modules, 'torch comes with the first use'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_without_a_picture_the_overrides_say_what_is_restored():
    restoration = dip_lab.restore(None, overrides=["data=sample", "data.size=16", "iterations=2", "net.width=4"])
    assert restoration.image.shape == (1, 3, 16, 16) and restoration.summary["data"] == "sample"


@pytest.mark.parametrize("where", ["pixels", "observed", "alpha"])
def test_images_that_are_not_finite_are_refused(where):
    sound, bad = torch.rand(1, 1, 16, 16), torch.full((1, 1, 16, 16), float("nan"))
    images = Images("mine", **{"pixels": sound, where: bad})
    with pytest.raises(ValueError, match="mine: 256 of 256 values are NaN or infinite"):
        dip_lab.restore(images, overrides=["iterations=2"])
