"""The hostile and awkward pictures of the shared data folder: each is loaded in the right shape or refused."""

import logging
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFile
from shared import DATA, shared

from dip_lab.data.folder import Folder
from dip_lab.data.images import read_picture
from dip_lab.data.listing import pictures_in

BAD = DATA / "bad"
pytestmark = shared("bad")  # test_images.py makes pictures of these kinds itself

GREY, RGB = (1, 1, 256, 256), (1, 3, 256, 256)
LOADS = {
    "UPPER.PNG": RGB,
    "animated.gif": (1, 3, 96, 96),
    "animated_apng.png": (1, 3, 96, 96),
    "bilevel.png": GREY,
    "cmyk.jpg": RGB,
    "constant_black.png": RGB,
    "constant_white.png": RGB,
    "exif_rotated_6.jpg": (1, 3, 256, 160),
    "float01.tif": GREY,
    "gray16.png": GREY,
    "gray_alpha.png": GREY,
    "gray_stored_as_rgb.png": RGB,
    "jpeg_named.png": RGB,
    "lossless.webp": RGB,
    "mask_0.1_percent.png": GREY,
    "mask_all_one.png": GREY,
    "mask_all_zero.png": GREY,
    "mask_good_256.png": GREY,
    "mask_in_alpha.png": RGB,
    "mask_inverted.png": GREY,
    "mask_rgb.png": RGB,
    "mask_soft.png": GREY,
    "mask_values_0_1.png": GREY,
    "mask_wrong_size.png": (1, 1, 200, 180),
    "multipage.tif": (1, 3, 96, 96),
    "odd_127x253.png": (1, 3, 253, 127),
    "odd_127x253_gray.png": (1, 1, 253, 127),
    "palette.png": RGB,
    "palette_transparency.png": RGB,
    "plain.bmp": RGB,
    "png_no_extension": RGB,
    "rgb48.png": RGB,
    "rgba_transparent.png": RGB,
    "size_8x8.png": (1, 3, 8, 8),
    "späce näme (1).png": (1, 3, 64, 64),
}
REFUSED = {
    "README.md": "cannot be read as PNG",
    "bomb_12000_real.png": "12000 x 12000 px, more than 64 megapixels",
    "bomb_60000.png": "more than 64 megapixels",
    "corrupt_crc.png": "cannot be read",
    "dir_named.png": "is a folder",
    "float_nan.tif": "NaN or infinite",
    "float_range.tif": "from -133.333 to 737.255",
    "size_1000x3.png": "1000 x 3 px",
    "size_1x1.png": "1 x 1 px",
    "size_3x1000.png": "3 x 1000 px",
    "text_named.png": "cannot be read as PNG",
    "truncated.jpg": "cannot be read",
    "truncated.png": "cannot be read",
    "zero_byte.png": "the file is empty",
}
WITH_ALPHA = {"gray_alpha.png", "mask_in_alpha.png", "palette_transparency.png", "rgba_transparent.png"}
WARNS = {
    "animated.gif": "6 frames",
    "animated_apng.png": "6 frames",
    "multipage.tif": "3 frames or pages",
    **dict.fromkeys(WITH_ALPHA, "transparency"),
}


def test_every_file_has_an_expected_outcome():
    assert {entry.name for entry in BAD.iterdir()} == set(LOADS) | set(REFUSED)


@pytest.mark.parametrize("file", LOADS)
def test_loads(file, caplog):
    with caplog.at_level(logging.WARNING):
        picture = read_picture(BAD / file)
    assert picture.name == Path(file).stem
    assert tuple(picture.pixels.shape) == LOADS[file] and picture.pixels.dtype == torch.float32
    assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1
    assert (picture.alpha is not None) == (file in WITH_ALPHA)
    assert (WARNS[file] in caplog.text and file in caplog.text) if file in WARNS else caplog.text == ""


@pytest.mark.parametrize("file", REFUSED)
def test_refused(file):
    with pytest.raises(ValueError) as refused:
        read_picture(BAD / file)
    message = str(refused.value)
    assert file in message and REFUSED[file] in message and "\n" not in message


def test_values_are_scaled_by_what_the_file_means():
    values = read_picture(BAD / "gray16.png").pixels
    assert values.min() < 0.1 and 0.9 < values.max() < 1 and len(values.unique()) > 200
    assert set(read_picture(BAD / "bilevel.png").pixels.unique().tolist()) == {0.0, 1.0}
    assert read_picture(BAD / "constant_black.png").pixels.max() == 0
    assert read_picture(BAD / "constant_white.png").pixels.min() == 1
    alpha = read_picture(BAD / "rgba_transparent.png").alpha
    assert alpha[0, 0, 128, 128] == 0 and 0 < alpha[0, 0, 128, 2] < 1


def test_a_folder_scan_takes_the_pictures_only():
    names = pictures_in(BAD)
    assert {"UPPER.PNG", "späce näme (1).png"} <= set(names)
    assert not {"dir_named.png", "png_no_extension", "README.md"} & set(names)
    assert Folder(str(BAD), "UPPER").load().pixels.shape == RGB


def test_pillow_s_global_switches_are_left_alone():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    read_picture(BAD / "plain.bmp")
    with pytest.raises(ValueError):
        read_picture(BAD / "bomb_12000_real.png")
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before
