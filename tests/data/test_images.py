import logging
import zlib

import numpy as np
import pytest
import torch
from files import png
from PIL import Image

from dip_lab.data import images
from dip_lab.data.images import Images, as_images, read_picture
from dip_lab.data.sizes import centre_crop, resize_to
from dip_lab.png import encode_png, to_uint8

RAMP = np.arange(16 * 12, dtype=np.uint8).reshape(16, 12)
COLOUR = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)
ALPHA = np.where(np.arange(12) < 4, 0, 255).astype(np.uint8) * np.ones((16, 1), np.uint8)


def hwc(picture):
    return picture.pixels[0].permute(1, 2, 0).numpy()


LOSSLESS = [(suffix, samples) for suffix in ("png", "bmp", "tif", "webp") for samples in (RAMP, COLOUR)]


@pytest.mark.parametrize("suffix, samples", [*LOSSLESS, ("gif", RAMP)])
def test_lossless_formats_keep_every_value(tmp_path, suffix, samples):
    path = tmp_path / f"house.{suffix}"
    Image.fromarray(samples).save(path, **({"lossless": True} if suffix == "webp" else {}))
    picture = read_picture(path)
    assert picture.name == "house" and picture.alpha is None
    assert picture.pixels.dtype == torch.float32 and picture.pixels.is_contiguous()
    expected = samples.reshape(16, 12, -1) / np.float32(255)
    if suffix in ("gif", "webp"):  # palette and WebP have no grey: equal channels are fine
        expected = np.broadcast_to(expected, (16, 12, 3))
    np.testing.assert_array_equal(hwc(picture), expected)


def test_jpeg_is_close_and_named_by_the_caller(tmp_path):
    smooth = np.tile(np.linspace(0, 255, 16), (16, 1)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    picture = read_picture(tmp_path / "a.jpg", name="ramp")
    assert picture.name == "ramp"
    np.testing.assert_allclose(hwc(picture)[..., 0], smooth / 255, atol=0.02)


def test_bilevel_is_black_and_white(tmp_path):
    Image.fromarray(RAMP > 90).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        hwc(read_picture(tmp_path / "a.png"))[..., 0], (RAMP > 90).astype(np.float32)
    )


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_precision(tmp_path, suffix):
    deep = (RAMP.astype(np.uint16) * 257 + 3).clip(0, 65535).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(
        hwc(read_picture(tmp_path / f"a.{suffix}"))[..., 0], deep / np.float32(65535)
    )


def test_float_tiff_is_taken_as_it_is(tmp_path):
    Image.fromarray(RAMP.astype(np.float32) / 200).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(
        hwc(read_picture(tmp_path / "a.tif"))[..., 0], RAMP.astype(np.float32) / 200
    )


@pytest.mark.parametrize(
    "value, words", [(np.nan, "NaN or infinite"), (np.inf, "NaN"), (300.0, "from 0 to 300")]
)
def test_float_tiff_out_of_range_is_refused(tmp_path, value, words):
    samples = np.zeros((16, 16), np.float32)
    samples[3, 4] = value
    Image.fromarray(samples).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=rf"a\.tif.*{words}.*\[0, 1\]"):
        read_picture(tmp_path / "a.tif")


def test_palette_gives_colours_not_indices(tmp_path):
    Image.fromarray(COLOUR).quantize(8).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    expected = np.asarray(Image.fromarray(COLOUR).quantize(8).convert("RGB")) / np.float32(255)
    np.testing.assert_array_equal(hwc(picture), expected)
    assert picture.alpha is None


def test_transparency_is_kept_apart(tmp_path, caplog):
    Image.fromarray(np.dstack([COLOUR, ALPHA])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([RAMP, ALPHA])).save(tmp_path / "la.png")
    with caplog.at_level(logging.WARNING):
        rgba, la = read_picture(tmp_path / "rgba.png"), read_picture(tmp_path / "la.png")
    np.testing.assert_array_equal(hwc(rgba), COLOUR / np.float32(255))
    np.testing.assert_array_equal(hwc(la)[..., 0], RAMP / np.float32(255))
    for picture in (rgba, la):
        assert picture.alpha.shape == (1, 1, 16, 12)
        np.testing.assert_array_equal(picture.alpha[0, 0].numpy(), ALPHA / np.float32(255))
    assert "rgba.png: transparency is kept apart" in caplog.text


def test_transparent_colour_of_palette_and_rgb_becomes_alpha(tmp_path):
    palette = Image.fromarray(COLOUR).quantize(8)
    palette.save(tmp_path / "p.png", transparency=int(np.asarray(palette)[0, 0]))
    Image.fromarray(COLOUR).save(tmp_path / "rgb.png", transparency=tuple(int(c) for c in COLOUR[0, 0]))
    for file in ("p.png", "rgb.png"):
        picture = read_picture(tmp_path / file)
        assert picture.pixels.shape[1] == 3
        assert picture.alpha[0, 0, 0, 0] == 0 and picture.alpha.max() == 1


def test_cmyk_becomes_rgb(tmp_path):
    Image.fromarray(np.full((16, 16, 3), (200, 40, 90), np.uint8)).convert("CMYK").save(
        tmp_path / "a.jpg", quality=95
    )
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.alpha is None
    np.testing.assert_allclose(hwc(picture)[8, 8], np.array([200, 40, 90]) / 255, atol=0.03)


def test_exif_rotation_is_applied(tmp_path):
    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        hwc(read_picture(tmp_path / "a.png"))[..., 0], np.rot90(RAMP, -1) / np.float32(255)
    )


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_first_of_several_frames_with_a_warning(tmp_path, caplog, suffix):
    first, second = Image.new("RGB", (16, 16), "black"), Image.new("RGB", (16, 16), "white")
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    with caplog.at_level(logging.WARNING):
        assert read_picture(tmp_path / f"a.{suffix}").pixels.max() < 0.05
    assert f"a.{suffix}: 2 frames or pages, only the first is used" in caplog.text


def test_8_bit_pictures_load_without_a_word(tmp_path, caplog):
    Image.fromarray(COLOUR).save(tmp_path / "a.tif")
    Image.fromarray(np.dstack([COLOUR, np.full_like(RAMP, 255)])).save(tmp_path / "b.png")
    with caplog.at_level(logging.WARNING):
        assert read_picture(tmp_path / "a.tif").alpha is None
        assert read_picture(tmp_path / "b.png").alpha.min() == 1
    assert caplog.text == ""


def test_a_wrong_checksum_is_refused_even_where_the_data_decodes(tmp_path):
    rows = zlib.compress(b"".join(b"\0" + bytes(8) for _ in range(8)))
    whole = png(8, 8, 8, 0, rows)
    at = whole.index(b"IDAT") + 4 + len(rows)
    (tmp_path / "a.png").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(ValueError, match=r"a\.png cannot be read .*save it again"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError) as refused:
        read_picture(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_other_formats_and_text_are_refused(tmp_path):
    Image.fromarray(RAMP).convert("1").save(tmp_path / "a.xbm")
    (tmp_path / "b.png").write_text("not a picture")
    for file in ("a.xbm", "b.png"):
        with pytest.raises(ValueError, match=f"{file} cannot be read as PNG, JPEG"):
            read_picture(tmp_path / file)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no such file: .*nowhere\.png"):
        read_picture(tmp_path / "nowhere.png")
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(ValueError, match=r"dir\.png is a folder, not a picture"):
        read_picture(tmp_path / "dir.png")


def test_size_limits(tmp_path, monkeypatch):
    Image.new("L", (7, 40)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"small\.png: 7 x 40 px .* at least 8 px"):
        read_picture(tmp_path / "small.png")
    Image.new("L", (8, 8)).save(tmp_path / "least.png")
    assert read_picture(tmp_path / "least.png").pixels.shape == (1, 1, 8, 8)
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    Image.new("L", (40, 40)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match=r"large\.png: 40 x 40 px, more than"):
        read_picture(tmp_path / "large.png")


@pytest.mark.parametrize("side", [8100, 10000, 60000], ids=["ours", "pillow_warns", "pillow_refuses"])
def test_bombs_are_refused_on_their_header(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png(side, side, 8, 2, zlib.compress(b"\0")))
    with pytest.raises(ValueError, match=r"bomb\.png: .*more than 64 megapixels"):
        read_picture(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    "array",
    [
        RAMP,
        COLOUR,
        RAMP[..., None],
        RAMP.astype(np.uint16) * 257,
        RAMP / 255,
        (COLOUR / 255).astype(np.float32),
    ],
    ids=["uint8", "colour", "one_channel", "uint16", "float64", "float32"],
)
def test_arrays(array):
    picture = as_images(array)
    assert picture.name == "picture" and picture.alpha is None and picture.pixels.dtype == torch.float32
    expected = (COLOUR if picture.pixels.shape[1] == 3 else RAMP[..., None]) / np.float32(255)
    np.testing.assert_allclose(hwc(picture), expected, atol=1e-7)


def test_arrays_with_alpha_and_bool():
    picture = as_images(np.dstack([COLOUR, ALPHA]), name="cut-out")
    assert picture.name == "cut-out" and picture.pixels.shape == (1, 3, 16, 12)
    np.testing.assert_array_equal(picture.alpha[0, 0].numpy() * 255, ALPHA)
    assert set(as_images(RAMP > 90).pixels.unique().tolist()) == {0.0, 1.0}


def test_paths_pil_images_tensors_and_pictures(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "house.png")
    expected = as_images(COLOUR).pixels
    from_path = as_images(str(tmp_path / "house.png"))
    assert from_path.name == "house" and torch.equal(from_path.pixels, expected)
    assert torch.equal(as_images(Image.fromarray(COLOUR)).pixels, expected)
    assert torch.equal(as_images(expected).pixels, expected)
    assert torch.equal(as_images(expected[0].double().requires_grad_()).pixels, expected)
    assert as_images(from_path) is from_path and as_images(from_path, "other").name == "other"


def test_the_caller_s_array_is_not_shared():
    tensor = torch.full((1, 8, 8), 0.5)
    picture = as_images(tensor)
    tensor.zero_()
    assert picture.pixels.min() == 0.5


@pytest.mark.parametrize(
    "value, words",
    [
        (np.full((16, 16), 200.0), r"from 200 to 200; scale them to \[0, 1\]"),
        (np.full((16, 16), np.nan), "256 samples are NaN"),
        (RAMP.astype(np.int64), "samples of int64; give uint8"),
        (np.zeros((3, 16, 16)), r"shape \(3, 16, 16\); give \(H, W\) or \(H, W, C\)"),
        (np.zeros(16), r"shape \(16,\)"),
        (np.zeros((4, 16)), "16 x 4 px .* at least 8 px"),
        (torch.zeros(2, 3, 16, 16), r"shape \(2, 3, 16, 16\); give \(C, H, W\)"),
        (torch.zeros(16, 16, 3), r"\(C, H, W\) with C = 1 to 4|at least 8 px"),
        (torch.zeros(3, 16, 16, dtype=torch.uint8), "torch.uint8; give floats"),
        (torch.full((1, 16, 16), -1.0), "from -1 to -1"),
        (Image.new("L", (4, 40)), "4 x 40 px"),
        (Image.new("I", (16, 16)), "32-bit"),
        ([[0.0]], "cannot make a picture of list"),
    ],
)
def test_other_values_are_refused(value, words):
    with pytest.raises(ValueError, match="^shot: .*" + f"(?:{words})"):
        as_images(value, name="shot")


@pytest.mark.parametrize("shape, size, expected", [((37, 53), 20, (14, 20)), ((53, 37), 20, (20, 14))])
def test_resize_equals_pillow(shape, size, expected):
    pixels = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    small = resize_to(Images("x", pixels), size).pixels
    image = Image.fromarray(pixels[0, 0].numpy()).resize(expected[::-1], Image.Resampling.LANCZOS)
    assert small.shape[-2:] == expected
    np.testing.assert_allclose(small[0, 0].numpy(), np.asarray(image).clip(0, 1), atol=1e-6)


def test_resize_never_enlarges_and_stays_in_range():
    picture = Images("x", torch.eye(32)[None, None])
    assert resize_to(picture, None) is picture and resize_to(picture, 32) is picture
    small = resize_to(picture, 9).pixels
    assert small.min() >= 0 and small.max() <= 1
    with pytest.raises(ValueError, match="data.size=16 makes 64 x 16 px into 16 x 4"):
        resize_to(Images("wide", torch.zeros(1, 1, 16, 64)), 16)


def test_resized_alpha_stays_binary_and_grows_its_hole():
    alpha = torch.ones(1, 1, 32, 32)
    alpha[..., 10, 20] = 0
    small = resize_to(Images("x", torch.zeros(1, 3, 32, 32), alpha), 16).alpha
    assert small.shape == (1, 1, 16, 16) and small[0, 0, 5, 10] == 0 and small.sum() == 255


def test_centre_crop():
    pixels = torch.arange(20.0 * 30).reshape(1, 1, 20, 30) / 600
    picture = Images("x", pixels, pixels.clone())
    cut = centre_crop(picture, 10)
    assert torch.equal(cut.pixels, pixels[..., 5:15, 10:20]) and torch.equal(cut.alpha, cut.pixels)
    assert torch.equal(centre_crop(picture, 10, (0.0, 1.0)).pixels, pixels[..., :10, 20:])
    assert torch.equal(centre_crop(picture, 24).pixels, pixels[..., :, 3:27])
    assert centre_crop(picture, None) is picture


@pytest.mark.parametrize("size", [0, -3, 7, 16.5, "16", True])
@pytest.mark.parametrize("change", [resize_to, centre_crop])
def test_wrong_sizes_are_refused(change, size):
    with pytest.raises(ValueError, match=f"data.size={size}: give a whole number"):
        change(Images("x", torch.zeros(1, 1, 32, 32)), size)


def test_to_uint8_rounds_and_every_byte_survives():
    levels = torch.arange(256).reshape(1, 1, 16, 16) / 255
    np.testing.assert_array_equal(to_uint8(levels), np.arange(256).reshape(16, 16))
    np.testing.assert_array_equal(
        to_uint8(torch.tensor([-1.0, 0.4999 / 255, 0.501 / 255, 9.0]).view(1, 4, 1, 1)), [[[0, 0, 1, 255]]]
    )
    assert to_uint8(torch.zeros(1, 3, 4, 5, requires_grad=True)).shape == (4, 5, 3)


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_encoded_png_reads_back(tmp_path, channels, mode):
    samples = np.random.default_rng(1).integers(0, 256, (9, 11, channels), dtype=np.uint8)
    encoded = encode_png(torch.from_numpy(samples).permute(2, 0, 1)[None] / 255)
    (tmp_path / "a.png").write_bytes(encoded)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image).reshape(samples.shape), samples)


def test_the_home_of_an_unknown_user_is_a_missing_file():
    with pytest.raises(ValueError, match="~nobody-of-that-name/photo.png"):
        read_picture("~nobody-of-that-name/photo.png")


@pytest.mark.parametrize("suffix, samples", [
    ("png", np.dstack([COLOUR, ALPHA])), ("png", RAMP), ("jpg", COLOUR), ("png", RAMP.astype(np.uint16) * 257),
    ("tif", RAMP.astype(np.float32) / 200),
])
def test_a_picture_that_is_shrunk_as_it_is_read_is_the_same(tmp_path, monkeypatch, suffix, samples):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(samples).resize((90, 70), Image.Resampling.NEAREST).save(path)
    whole = resize_to(read_picture(path), 20)
    monkeypatch.setattr("dip_lab.data.samples.BAND", 500)  # 5 rows at a time
    small = read_picture(path, size=20)
    assert torch.equal(small.pixels, whole.pixels) and small.original == (70, 90)
    assert small.alpha is None if whole.alpha is None else torch.equal(small.alpha, whole.alpha)
    assert torch.equal(read_picture(path).pixels, resize_to(read_picture(path), None).pixels)
    assert torch.equal(small.changes[0](read_picture(path)).pixels, whole.pixels)


def test_what_needs_too_much_memory_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_BYTES", 100_000)
    with pytest.raises(ValueError, match=r"a\.png: 100 x 100 px .* GB of memory, .*data\.size shrinks"):
        read_picture(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", size=8).pixels.shape == (1, 3, 8, 8)
    assert read_picture(tmp_path / "a.png", keep=images.mean).pixels.shape == (1, 1, 100, 100)


def test_libtiff_says_nothing_itself(tmp_path, capfd):
    Image.fromarray(COLOUR).save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[12:40] = bytes(28)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.tif cannot be read"):
        read_picture(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")
