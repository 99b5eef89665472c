"""Every format of configs/answer, read back by Pillow, FFmpeg and tifffile."""

import io
import re

import numpy as np
import pytest
import tifffile
import torch
from files import CAMERA, GREY, WIDE, check_exif, decode_16, exif
from needs import options
from omegaconf import OmegaConf
from PIL import Image

from dip_lab.catalogue import config_folder
from dip_lab.data.conventions import Conventions, conventions_of
from dip_lab.data.images import read_picture
from dip_lab.instantiate import instantiate
from dip_lab.png import to_uint8, to_uint16

DEEP = {"png16", "tiff"}


def kept():
    """The EXIF data that a file with those of `exif` gives."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif())
    with Image.open(file) as image:
        return conventions_of(image, 3, 8, "").exif


def made(option, **more):
    return instantiate(OmegaConf.merge(OmegaConf.load(config_folder() / "answer" / f"{option}.yaml"), more))


def pixels_of(channels, height=11, width=17):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(channels))


def read(path, option, channels):
    """(H, W, C) in units of the file's levels, float64, by another library."""
    if option == "tiff":
        array = tifffile.imread(path)
    elif option == "png16" and channels != 2:
        array = decode_16(path)
    else:
        with Image.open(path) as image:
            array = np.asarray(image)
    return array.reshape(*array.shape[:2], -1).astype(np.float64)


def check_head(path, option, icc):
    with Image.open(path) as image:
        image.load()
        assert image.format == {"png16": "PNG"}.get(option, option.upper()) and image.size == (17, 11)
        assert image.info.get("icc_profile") == icc
        check_exif(image.getexif())


@pytest.mark.parametrize("option", options("answer"))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_profile_exif_and_depth(tmp_path, option, channels):
    written, pixels, icc = made(option), pixels_of(channels), GREY if channels < 3 else WIDE
    if not written.transparent and channels in (2, 4):
        pytest.skip("no transparency")
    path = written.path(tmp_path / "dip_x4.5")
    assert path.name.startswith("dip_x4.5.")
    path.write_bytes(written.encode(pixels, Conventions(icc, kept())))

    of_grey = option == "webp" and channels < 3
    if (option, channels) == ("tiff", 2):  # Pillow does not open it
        with tifffile.TiffFile(path) as file:
            assert bytes(file.pages[0].tags["InterColorProfile"].value) == icc
    else:
        check_head(path, option, None if of_grey else icc)
    if option == "png16" and channels == 2:  # FFmpeg would make it 8 bits of grey; the upper bytes by Pillow
        with Image.open(path) as image:
            assert (np.asarray(image.convert("LA")) == to_uint16(pixels) >> 8).all()
        return
    levels = 65535 if option in DEEP else 255
    found = read(path, option, channels)
    expected = pixels[0].permute(1, 2, 0).double().numpy() * levels
    if of_grey:
        expected = np.concatenate([np.repeat(expected[..., :1], 3, 2), expected[..., 1:]], 2)
    if option == "jpeg":
        assert np.sqrt(np.square(found - expected).mean()) < 12  # of white noise, the worst there is
    else:
        assert np.abs(found - expected).max() <= 0.5 + 1e-3  # rounded from the float picture


@pytest.mark.parametrize("option", sorted(DEEP))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_come_back_through_our_own_reader(tmp_path, option, channels):
    written, pixels = made(option), pixels_of(channels)
    path = written.path(tmp_path / "a")
    path.write_bytes(written.encode(pixels, Conventions(exif=kept(), icc=None)))
    picture = read_picture(path)
    back = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha], 1)
    assert (back - pixels).abs().max() <= 0.5001 / 65535
    assert picture.conventions == Conventions(exif=kept(), bits=16)


def test_a_tiff_names_the_camera_for_other_readers_too(tmp_path):
    (tmp_path / "a.tiff").write_bytes(made("tiff").encode(pixels_of(3), Conventions(WIDE, kept())))
    with tifffile.TiffFile(tmp_path / "a.tiff") as file:
        tags = file.pages[0].tags
        assert tags["Model"].value == CAMERA and tags["Orientation"].value == 1
        assert tags["ExifTag"].value["ExposureTime"] == (1, 160)
        assert bytes(tags["InterColorProfile"].value) == WIDE
        assert tags["Compression"].value == 8 and tags["BitsPerSample"].value == (16, 16, 16)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_is_written_in_the_order_of_its_exif(tmp_path, order):
    tags = Image.Exif()
    tags.endian = order
    tags[0x0110] = CAMERA
    (tmp_path / "a.tiff").write_bytes(made("tiff").encode(pixels_of(3), Conventions(exif=tags.tobytes())))
    assert (tifffile.imread(tmp_path / "a.tiff") == to_uint16(pixels_of(3))).all()


def test_png_has_the_depth_of_the_picture(tmp_path):
    for bits in (8, 16):
        (tmp_path / "a.png").write_bytes(made("png").encode(pixels_of(3), Conventions(bits=bits)))
        assert read_picture(tmp_path / "a.png").conventions.bits == bits
    (tmp_path / "a.png").write_bytes(made("png", bits=8).encode(pixels_of(3), Conventions(bits=16)))
    with Image.open(tmp_path / "a.png") as image:
        assert (np.asarray(image) == to_uint8(pixels_of(3))).all()


def test_jpeg_is_of_the_quality_asked_for_and_of_full_colour(tmp_path):
    for quality in (95, 60):
        (tmp_path / "a.jpg").write_bytes(made("jpeg", quality=quality).encode(pixels_of(3), Conventions()))
        assert read_picture(tmp_path / "a.jpg").conventions == Conventions(quality=quality)
        with Image.open(tmp_path / "a.jpg") as image:
            assert {layer[1:3] for layer in image.layer} == {(1, 1)}


def test_exif_that_is_too_long_for_jpeg_is_left_out(tmp_path, caplog):
    tags = Image.Exif()
    tags[0x010E] = "x" * 70000
    (tmp_path / "a.jpg").write_bytes(made("jpeg").encode(pixels_of(3), Conventions(exif=tags.tobytes())))
    assert read_picture(tmp_path / "a.jpg").conventions.exif is None
    assert re.search("answer=jpeg: the EXIF data of 70... bytes are left out", caplog.text)


def test_webp_keeps_the_colour_under_transparent_pixels(tmp_path):
    pixels = pixels_of(4)
    pixels[:, 3] = 0
    (tmp_path / "a.webp").write_bytes(made("webp").encode(pixels, Conventions()))
    with Image.open(tmp_path / "a.webp") as image:
        assert (np.asarray(image) == to_uint8(pixels)).all()


@pytest.mark.parametrize("option, values, words", [
    ("png", {"bits": 12}, "answer.bits=12: give 8, 16, or null"), ("jpeg", {"quality": 0}, "answer.quality=0"),
    ("jpeg", {"quality": 101}, "answer.quality=101"),
])
def test_wrong_values_are_refused(option, values, words):
    with pytest.raises(ValueError, match=words):
        made(option, **values)


def test_whether_a_file_is_written(tmp_path):
    stem = tmp_path / "dip_denoised"
    assert made("png").is_written(stem)  # any PNG will do, and who removed it does not want it again
    for option in options("answer"):
        if option == "png":
            continue
        format = made(option)
        assert not format.is_written(stem)
        (tmp_path / "dip_denoised.png").write_bytes(made("png", bits=8).encode(pixels_of(3), Conventions()))
        assert not format.is_written(stem)
        format.path(stem).write_bytes(format.encode(pixels_of(3), Conventions()))
        assert format.is_written(stem)
