"""The files of a fit: what a photo brings along is in the answer."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import torch.nn.functional as F
from files import WIDE, check_exif, decode_16, deep, encode_16, exif
from PIL import Image

from dip_lab.answers.answer import Answer
from dip_lab.answers.jpeg import Jpeg
from dip_lab.answers.png import Png
from dip_lab.answers.tiff import Tiff
from dip_lab.answers.webp import Webp
from dip_lab.api import restore
from dip_lab.data.conventions import Conventions
from dip_lab.data.images import Images, as_images
from dip_lab.results.restoration import Restoration

SHORT = ("iterations=1", "log_every=1", "net=skip_narrow", "net.width=4", "net.depth=2", "device=cpu",
         "precision=float32", "stopping=fixed")
TINY = ["logger=none", *SHORT]
COLOUR = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
ALPHA = np.linspace(0, 255, 16 * 24).reshape(16, 24, 1).astype(np.uint8)


@pytest.fixture(autouse=True)
def quick(one_thread, without_plots):
    """One thread, and no plots."""


def photo(path, **more):
    Image.fromarray(COLOUR).save(path, icc_profile=WIDE, exif=exif(6), **more)
    return path


@pytest.mark.parametrize("answer, suffix", [("png", "png"), ("png16", "png"), ("tiff", "tiff"), ("webp", "webp"),
                                            ("jpeg", "jpg")])
def test_a_photo_s_conventions_are_in_its_answer(tmp_path, answer, suffix):
    picture = photo(tmp_path / "photo.jpg", quality=83)
    restoration = restore(picture, overrides=[*SHORT, "task/noise=none", f"answer={answer}"], folder=tmp_path / "out")
    for name in ("dip_denoised.png", f"dip_denoised.{suffix}"):
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
            assert image.size == (16, 24) and image.info["icc_profile"] == WIDE
            check_exif(image.getexif())
    with Image.open(tmp_path / "out" / "restoration.png") as image:
        assert image.mode == "RGB" and (np.asarray(image) == np.asarray(restoration.pil())).all()
        assert "icc_profile" not in image.info
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["jpeg_quality"] == 83 and "answer" not in result["config"]
    if answer in ("png16", "tiff"):
        path = tmp_path / "out" / f"dip_denoised.{suffix}"
        found = tifffile.imread(path) if answer == "tiff" else decode_16(path)
        assert np.abs(found / 65535 - restoration.numpy()).max() <= 0.51 / 65535


def test_16_bits_stay_16_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_16(deep(4, 16, 24)))
    restoration = restore(tmp_path / "a.png", overrides=[*SHORT, "task/noise=none"], folder=tmp_path / "out")
    found = decode_16(tmp_path / "out" / "dip_denoised.png") / 65535
    assert np.abs(found[..., :3] - restoration.numpy()).max() <= 0.51 / 65535
    assert (found[..., 3] == deep(4, 16, 24)[..., 3] / 65535).all()
    assert restoration.summary["jpeg_quality"] is None


@pytest.mark.parametrize("answer, suffix", [("png", "png"), ("webp", "webp")])
def test_transparency_is_kept(tmp_path, answer, suffix):
    restore(np.dstack([COLOUR, ALPHA]), overrides=[*SHORT, f"answer={answer}"], folder=tmp_path)
    with Image.open(tmp_path / f"dip_denoised.{suffix}") as image:
        assert image.mode == "RGBA" and (np.asarray(image)[..., 3:] == ALPHA).all()


def test_transparency_grows_with_the_picture(tmp_path):
    restore(np.dstack([COLOUR, ALPHA]), task="super_resolution", folder=tmp_path,
            overrides=[*SHORT, "task.given=true", "task.factor=2"])
    with Image.open(tmp_path / "dip_superres_x2.png") as image:
        assert image.mode == "RGBA" and image.size == (48, 32)
        smaller = np.asarray(image.getchannel("A").resize((24, 16), Image.Resampling.BOX), dtype=float)
    assert np.abs(smaller - ALPHA[..., 0]).max() < 4


@pytest.mark.parametrize("mask, mode", [("alpha", "RGB"), ("blobs", "RGBA")])
def test_holes_that_were_transparent_are_filled(tmp_path, mask, mode):
    restore(np.dstack([COLOUR, ALPHA]), task="inpaint", overrides=[*SHORT, f"task/mask={mask}"], folder=tmp_path)
    with Image.open(tmp_path / "dip_inpainted.png") as image:
        assert image.mode == mode


def test_jpeg_says_that_it_has_no_transparency(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        restore(np.dstack([COLOUR, ALPHA]), overrides=[*SHORT, "answer=jpeg"], folder=tmp_path)
    assert caplog.text.count("answer=jpeg: this format has no transparency") == 1
    with Image.open(tmp_path / "dip_denoised.jpg") as image:
        assert image.mode == "RGB"


def test_8_bits_for_a_picture_of_16_are_said(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        restore(deep(3, 16, 24), overrides=[*SHORT, "answer=webp"], folder=tmp_path)
    assert "answer=webp: 8 bits a channel, the PNG beside it keeps the picture's 16" in caplog.text


def test_a_pil_image_takes_its_profile_there_and_back(tmp_path):
    with Image.open(photo(tmp_path / "photo.png")) as image:
        restoration = restore(image, overrides=[*SHORT, "task/noise=none"])
    restoration.pil().save(tmp_path / "back.png")
    with Image.open(tmp_path / "back.png") as image:
        assert image.info["icc_profile"] == WIDE
    tags = Image.Exif()
    tags.load(restoration.pil().info["exif"])
    check_exif(tags)


@pytest.mark.parametrize("task, more, suffix", [
    ("denoise", ["answer=png16"], "png"), ("denoise", ["answer=jpeg"], "jpg"), ("denoise", ["answer=tiff"], "tiff"),
    ("super_resolution", ["task.factor=2", "task.given=true"], "png"), ("deblur", ["task.given=true"], "png"),
    ("inpaint", ["task.given=true"], "png"), ("denoise", ["baseline=tv", "task.sigma=25"], "png"),
])
def test_every_task_keeps_profile_and_resolution(tmp_path, task, more, suffix):
    Image.fromarray(COLOUR).save(tmp_path / "a.png", icc_profile=WIDE, dpi=(300, 300))
    restoration = restore(tmp_path / "a.png", task=task, overrides=[*SHORT, *more], folder=tmp_path / "out")
    with Image.open(tmp_path / "out" / f"{restoration.answer}.{suffix}") as image:
        assert image.info["icc_profile"] == WIDE and tuple(map(round, image.info["dpi"])) == (300, 300)


def test_a_colour_profile_is_not_put_into_a_grey_picture():
    answer = Answer(Webp(), Conventions(icc=WIDE))
    assert all(WIDE[:300] not in content for _, content in answer.files(torch.rand(1, 1, 8, 8)))
    answer = Answer(Tiff(), Conventions(icc=WIDE))
    assert WIDE in dict(answer.files(torch.rand(1, 3, 8, 8)))[".tiff"]


def test_alpha_of_another_size():
    image, alpha = torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8)
    assert Answer(Png(8), alpha=alpha)._with_alpha(image)[:, 3:].equal(alpha)
    large = Answer(Png(8), alpha=alpha)._with_alpha(F.interpolate(image, scale_factor=3))
    assert large.shape == (1, 4, 24, 24) and 0 <= large.min() and large.max() <= 1
    assert Answer(Png(8), alpha=torch.rand(1, 1, 9, 8))._with_alpha(image) is image
    assert Answer(Png(8), alpha=alpha)._with_alpha(image[:, :2]).shape[1] == 2


@pytest.mark.parametrize("format, side", [(Webp(), 16384), (Jpeg(95), 65501)])
def test_a_picture_that_the_format_cannot_hold_is_refused(format, side):
    with pytest.raises(ValueError, match=f"the answer has {side} x 9 px.*choose answer=tiff"):
        Answer(format).check(3, 9, side)
    Answer(format).check(3, side - 1, 9)
    Answer(Tiff()).check(3, 9, side)


def save_scan(path, channels):
    array = np.random.default_rng(0).random((channels, 16, 16)).astype(np.float32)
    np.save(path, array)
    return ["data=array", f"data.path={path}"]


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("more", [[], ["baseline=tv", "task.sigma=25"]])
def test_what_no_picture_holds_is_an_array_too(tmp_path, channels, more):
    scan = save_scan(tmp_path / "scan.npy", channels)
    restoration = restore(None, overrides=[*SHORT, *scan, *more], folder=tmp_path / "out")
    found = np.load(tmp_path / "out" / "dip_denoised.npy")
    assert (found == restoration.image[0].numpy()).all() and found.shape == (channels, 16, 16)
    with Image.open(tmp_path / "out" / "dip_denoised.png") as image:
        assert image.mode == "L" and np.abs(np.asarray(image) - 255 * found.mean(0)).max() < 0.51


def test_the_command_names_the_array(command):
    scan = save_scan("scan.npy", 5)
    code, said = command(*TINY, *scan)
    assert code == 0 and "the answer has 5 channels" in said and said.strip().endswith("dip_denoised.npy")
    code, said = command(*TINY, *scan, "answer=tiff")
    assert code == 2 and "answer=tiff: the answer has 5 channels" in said


def fail(*args):
    raise RuntimeError("no font")


@pytest.mark.parametrize("broken, written", [("dip_lab.answers.tiff.Tiff.encode", True),
                                             ("dip_lab.answers.png.Png.encode", False),
                                             ("dip_lab.experiment.presented", False)])
def test_whatever_fails_while_saving_the_image_is_there(tmp_path, monkeypatch, broken, written):
    monkeypatch.setattr(broken, fail)
    with pytest.raises(OSError, match="no font: it happened while.* is in .*dip_denoised.npy"):
        restore(COLOUR, overrides=[*SHORT, "answer=tiff"], folder=tmp_path)
    assert np.load(tmp_path / "dip_denoised.npy").shape == (3, 16, 24)
    assert (tmp_path / "dip_denoised.png").exists() == written


def test_a_command_whose_panel_fails_says_where_the_image_is(command, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Restoration, "panel", fail)
        code, said = command(*TINY, "data.size=16")
    (array,) = Path("outputs").glob("*/*/dip_denoised.npy")
    assert code == 2 and said.strip().endswith(f"the restored image is in {array.absolute()}")
    result = json.loads(array.with_name("result.json").read_text())
    assert result["status"] == "failed" and array.name in result["error"] and array.with_suffix(".png").exists()
    assert "no font" in array.with_name("error.txt").read_text()
    assert command(*TINY, "data.size=16")[0] == 0 and not array.exists()


def test_a_clip_is_written_as_before(tmp_path, fit_tiny):
    fit_tiny(*SHORT[:1], "answer=tiff", "data.size=null",
             picture=Images("clip", torch.rand(3, 3, 16, 16), selection=slice(0, 3, 1)), folder=tmp_path)
    assert len(list((tmp_path / "dip_denoised").glob("*.png"))) == 3
    assert tifffile.imread(tmp_path / "dip_denoised.tiff").shape == (16, 16, 3)


def test_without_a_format_an_8_bit_png_is_saved(tmp_path, fit_tiny):
    restoration = fit_tiny("iterations=1", picture=as_images(deep(3, 16, 16)))
    restoration.save(tmp_path)
    with Image.open(tmp_path / "dip_denoised.png") as image:
        assert (np.asarray(image) == np.asarray(restoration.pil())).all()
    assert isinstance(restoration, Restoration)


def folder():
    (found,) = {path.parent for path in Path("outputs").glob("*/*/result.json")}
    return found


def test_the_command_names_the_file_that_was_asked_for(command):
    photo("photo.png")
    code, said = command(*TINY, "data=file", "data.path=photo.png", "answer=tiff")
    assert code == 0 and said.strip().splitlines()[-1].endswith("dip_denoised.tiff")
    assert (folder() / "dip_denoised.png").exists()


def test_a_mistake_is_one_line_before_the_fit(command):
    code, said = command(*TINY, "answer=jpeg", "answer.quality=300", "data.size=16")
    assert (code, len(said.strip().splitlines())) == (2, 1) and "answer.quality=300" in said
    code, said = command(*TINY, "answer=gif")
    assert code == 2 and len(said.strip().splitlines()) == 1 and "tiff" in said


@pytest.mark.parametrize("more", [[], ["-m"]])
def test_a_cell_that_is_done_delivers_another_format(command, more):
    """Fitted on from its last checkpoint: the same iterations, the same picture."""
    fit = [*TINY, *more, "data.size=16", "iterations=8", "callbacks.checkpoint.seconds=0", "callbacks.guard.every=4"]
    assert command(*fit)[0] == 0
    before = json.loads((folder() / "result.json").read_text())
    first = (folder() / "dip_denoised.png").read_bytes()
    code, said = command(*fit, "answer=tiff")
    after = json.loads((folder() / "result.json").read_text())
    assert code == 0 and "fitted on from the last checkpoint" in said
    assert (folder() / "dip_denoised.png").read_bytes() == first
    assert {key: before[key] for key in ("config_hash", "psnr", "iterations")} == \
           {key: after[key] for key in ("config_hash", "psnr", "iterations")}
    with Image.open(folder() / "dip_denoised.png") as image:
        rounded = np.rint(tifffile.imread(folder() / "dip_denoised.tiff") / 257)
        assert np.abs(rounded - np.asarray(image)).max() <= 1  # rounded twice
    code, said = command(*fit, "answer=tiff")
    assert code == 0 and "fitted on" not in said
    assert command(*fit)[0] == 0 and (folder() / "dip_denoised.tiff").exists()


def test_a_done_cell_stays_done_if_it_cannot_be_written_as_asked(command, monkeypatch):
    fit = [*TINY, "data.size=16"]
    assert command(*fit)[0] == 0
    monkeypatch.setattr(Webp, "longest", 12)
    code, said = command(*fit, "answer=webp")
    assert code == 2 and "answer=webp: the answer has 16 x 16 px" in said
    assert json.loads((folder() / "result.json").read_text())["status"] == "done"


def test_a_sweep_writes_one_format(command):
    code, said = command(*TINY, "-m", "data.size=16", "answer=png,tiff")
    assert code == 2 and "a sweep writes one format" in said and len(said.strip().splitlines()) == 1
    assert not list(Path("outputs").glob("*/*/result.json"))
