"""What a file says beside its pixels: read from every format, and kept on the way to the fit."""

import logging

import numpy as np
import pytest
import tifffile
import torch
from files import CMYK, GREY, SRGB, WIDE, check_exif, chunk, decode_16, deep, encode_16, exif, plain_png, stored
from PIL import ExifTags, Image, PngImagePlugin

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.clips import read_clip
from dip_lab.data.conventions import Conventions, quality_of
from dip_lab.data.file import File
from dip_lab.data.folder import Folder
from dip_lab.data.images import Images, as_images, read_picture
from dip_lab.data.sizes import centre_crop, crop_to_multiple, resize_to
from dip_lab.data.sources import Sources

COLOUR = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)
# Table K.1 of ITU-T T.81: libjpeg's luminance steps at quality 50
K1 = np.array([int(step) for step in """
    16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99
    """.split()])


def scaled(quality):
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((K1 * percent + 50) // 100, 1, 255)


@pytest.mark.parametrize("quality", range(1, 101))
def test_the_quality_of_libjpeg_s_tables(quality):
    assert quality_of(scaled(quality)) == (quality, True)


@pytest.mark.parametrize("quality", [20, 60, 92])
def test_another_table_is_about_as_good_as_the_nearest(quality):
    steps = scaled(quality)
    steps[3] += 1
    assert quality_of(steps) == (quality, False)


@pytest.mark.parametrize("mode, quality", [("RGB", 92), ("L", 30), ("CMYK", 75)])
def test_the_quality_of_a_file(tmp_path, mode, quality):
    Image.fromarray(COLOUR).convert(mode).save(tmp_path / "a.jpg", quality=quality)
    assert read_picture(tmp_path / "a.jpg").conventions == Conventions(quality=quality)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_what_says_nothing_has_the_empty_conventions(tmp_path, kind):
    Image.fromarray(COLOUR).save(tmp_path / "a", kind)
    assert read_picture(tmp_path / "a").conventions == Conventions()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode, icc", [("RGB", WIDE), ("L", GREY)])
def test_profile_and_exif_of_every_format(tmp_path, caplog, kind, mode, icc):
    if (kind, mode) == ("WEBP", "L"):
        pytest.skip("WebP has no grey")
    Image.fromarray(COLOUR).convert(mode).save(tmp_path / "a", kind, icc_profile=icc, exif=exif())
    conventions = read_picture(tmp_path / "a").conventions
    assert conventions.icc == icc and conventions.bits == 8
    tags = Image.Exif()
    tags.load(conventions.exif)
    check_exif(tags)
    assert caplog.text == ""


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "PNG of 16 bits"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_upright_and_the_tag_says_so(tmp_path, kind, orientation):
    upright = np.kron(np.arange(6).reshape(2, 3) * 40, np.ones((8, 8))).astype(np.uint8)
    upright = np.stack([upright, upright, upright], 2)
    as_stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
                 5: upright.swapaxes(0, 1), 6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1),
                 8: np.rot90(upright, -1)}[orientation]
    if kind == "PNG of 16 bits":
        samples = np.ascontiguousarray(as_stored).astype(np.uint16) * 257
        (tmp_path / "a").write_bytes(plain_png(samples, chunk(b"eXIf", exif(orientation)[6:])))
    else:
        more = {"lossless": True} if kind == "WEBP" else {}
        Image.fromarray(np.ascontiguousarray(as_stored)).save(tmp_path / "a", kind, exif=exif(orientation), **more)
    picture = read_picture(tmp_path / "a")
    np.testing.assert_allclose(picture.pixels[0].permute(1, 2, 0), upright / 255, atol=0.01)
    tags = Image.Exif()
    tags.load(picture.conventions.exif)
    check_exif(tags)


def test_a_thumbnail_is_dropped(tmp_path):
    tags = Image.Exif()
    tags.load(exif())
    head = tags.tobytes()
    assert head[6:8] == b"MM"
    # A second list, as cameras write it: its address follows the entries of the first one.
    count = int.from_bytes(head[14:16], "big")
    link = 16 + 12 * count
    second = (1).to_bytes(2, "big") + bytes.fromhex("0201 0004 00000001 00000008") + bytes(4) + b"thumbnail"
    whole = head[:link] + (len(head) - 6).to_bytes(4, "big") + head[link + 4:] + second
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", exif=whole)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
    kept = read_picture(tmp_path / "a.jpg").conventions.exif
    assert b"thumbnail" not in kept and b"Canon EOS 5D" in kept


@pytest.mark.parametrize("icc, mode, words", [
    (CMYK, "RGB", "is for CMYK, but its pixels are RGB"), (WIDE, "L", "is for RGB, but its pixels are grey"),
    (b"damaged", "RGB", "is for no colours at all"),
])
def test_a_profile_that_does_not_fit_is_left_out(tmp_path, caplog, icc, mode, words):
    Image.fromarray(COLOUR).convert(mode).save(tmp_path / "a.jpg", icc_profile=icc)
    assert read_picture(tmp_path / "a.jpg").conventions.icc is None
    assert "a.jpg: its ICC profile" in caplog.text and words in caplog.text


def test_damaged_exif_is_left_out(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*" + b"\xff" * 30)
    assert read_picture(tmp_path / "a.jpg").conventions.exif is None


def samples_of(picture):
    planes = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha], 1)
    return (planes[0].permute(1, 2, 0).double() * 65535).round().numpy().astype(np.uint16)


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_png(tmp_path, caplog, channels):
    (tmp_path / "a.png").write_bytes(encode_16(deep(channels)))
    with caplog.at_level(logging.WARNING):
        picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(samples_of(picture), deep(channels))
    np.testing.assert_array_equal(decode_16(tmp_path / "a.png"), deep(channels))
    assert picture.conventions.bits == 16 and "reduced" not in caplog.text


def test_16_bit_grey_with_transparency(tmp_path):
    (tmp_path / "a.png").write_bytes(plain_png(deep(2)))
    picture = read_picture(tmp_path / "a.png")
    assert picture.pixels.shape[1] == 1
    np.testing.assert_array_equal(samples_of(picture), deep(2))


def test_the_transparent_colour_of_a_16_bit_png(tmp_path):
    samples = deep(3)
    samples[2, 3] = samples[4, 5] = 700, 800, 65000
    samples[6, 7] = 701, 800, 65000  # the same upper bytes
    (tmp_path / "a.png").write_bytes(plain_png(samples, chunk(b"tRNS", np.array([700, 800, 65000], ">u2").tobytes())))
    picture = read_picture(tmp_path / "a.png")
    clear = (picture.alpha[0, 0] == 0).nonzero().tolist()
    assert clear == [[2, 3], [4, 5]]
    np.testing.assert_array_equal(samples_of(picture)[..., :3], samples)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("layout", [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"tile": (16, 16)},
                                    {"compression": "zlib", "byteorder": ">"}, {"rowsperstrip": 3},
                                    {"compression": "zlib", "predictor": True}], ids=str)
def test_16_bit_tiff(tmp_path, caplog, channels, layout):
    samples = deep(channels, 20, 36)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", iccprofile=WIDE, **layout, **extra)
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(samples_of(picture), samples)
    assert picture.conventions.bits == 16 and picture.conventions.icc == WIDE and "reduced" not in caplog.text


def test_16_bit_tiff_by_lzw(tmp_path):
    """tifffile cannot write it without another package; libtiff compresses an 8-bit picture of twice the width."""
    samples = np.repeat(np.arange(10 * 14, dtype=np.uint16).reshape(10, 14, 1) * 450, 3, 2)
    file = stored(Image.fromarray(samples.view(np.uint8).reshape(10, -1)), "TIFF", compression="tiff_lzw")
    data = file.getvalue()
    with Image.open(file) as image:
        start, length = image.tag_v2[273][0], image.tag_v2[279][0]
    tags = Image.Exif()
    for tag, value in {256: 14, 257: 10, 258: (16,) * 3, 259: 5, 262: 2, 273: 0, 277: 3, 278: 10, 279: length}.items():
        tags[tag] = value
    tags.endian = "<"
    (tmp_path / "a.tif").write_bytes(tags.tobytes()[6:] + data[start:start + length])
    np.testing.assert_array_equal(samples_of(read_picture(tmp_path / "a.tif")), samples)


@pytest.mark.parametrize("head, channels, largest", [(b"P6", 3, 65535), (b"P5", 1, 65535), (b"P6", 3, 1023)])
def test_16_bit_ppm(tmp_path, caplog, head, channels, largest):
    samples = np.minimum(deep(channels), largest)
    (tmp_path / "a.ppm").write_bytes(head + b" 14 10 %d\n" % largest + samples.astype(">u2").tobytes())
    picture = read_picture(tmp_path / "a.ppm")
    assert np.abs(samples_of(picture) / 65535 - samples / largest).max() <= 0.51 / 65535
    assert picture.conventions.bits == 16 and not caplog.records


def test_ppm_of_16_bits_as_text_is_reduced_with_a_warning(tmp_path, caplog):
    (tmp_path / "a.ppm").write_text("P3 14 10 65535 " + " ".join(map(str, deep(3).ravel())))
    assert read_picture(tmp_path / "a.ppm").conventions.bits == 8
    assert "a.ppm: 16 bits per channel reduced to 8" in caplog.text


@pytest.mark.parametrize("layout", [{"extrasamples": ["assocalpha"]},
                                    {"compression": "zlib", "planarconfig": "separate"}], ids=str)
def test_rare_16_bit_tiffs_are_reduced_with_a_warning(tmp_path, caplog, layout):
    samples = deep(4, 20, 36) | 0xC000 if "extrasamples" in layout else deep(3, 20, 36)
    if "planarconfig" in layout:
        samples = np.ascontiguousarray(samples.transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", **layout)
    assert read_picture(tmp_path / "a.tif").conventions.bits == 8
    assert "a.tif: 16 bits per channel reduced to 8" in caplog.text


def test_planes_that_pillow_misreads_are_refused(tmp_path):
    samples = np.ascontiguousarray(deep(3).transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match=r"a\.tif cannot be read .*separate planes.*save it again"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("array, bits", [(deep(3), 16), (COLOUR, 8), (COLOUR / 255, 8)], ids=["16", "8", "float"])
def test_the_bits_of_an_array(array, bits):
    assert as_images(array).conventions == Conventions(bits=bits)


def test_a_pil_image_brings_its_conventions():
    with Image.open(stored(Image.fromarray(COLOUR), "JPEG", quality=81, icc_profile=WIDE, exif=exif(3))) as image:
        picture = as_images(image)
    assert picture.conventions.quality == 81 and picture.conventions.icc == WIDE and picture.conventions.exif


@pytest.mark.parametrize("change", [lambda p: resize_to(p, 20), lambda p: centre_crop(p, 20),
                                    lambda p: crop_to_multiple(p, 16)], ids=["resize", "crop", "multiple"])
def test_another_size_keeps_all_else(change):
    whole = Images("a", torch.rand(1, 3, 40, 50), root="/data", selection=slice(0, 4),
                   conventions=Conventions(WIDE, exif(), 16, 80, False))
    part = change(whole)
    assert part.pixels.shape != whole.pixels.shape
    assert (part.name, part.root, part.selection, part.conventions) == ("a", "/data", slice(0, 4), whole.conventions)


@pytest.mark.parametrize("kind, more, words", [
    ("jpg", {"quality": 92, "icc_profile": WIDE}, "JPEG of quality 92, 14 x 10 px, ICC profile Wide gamut 13"),
    ("jpg", {"quality": 85, "icc_profile": SRGB}, "JPEG of quality 85, 14 x 10 px"),
    ("jpg", {"qtables": [[9] * 64] * 2}, "JPEG of quality about 92, 14 x 10 px"),
    ("png", {"icc_profile": WIDE}, "14 x 10 px, ICC profile Wide gamut 13"),
    ("png", {"icc_profile": SRGB}, ""),
    ("png", {}, ""),
])
@pytest.mark.parametrize("source", [File, Folder])
def test_what_is_worth_knowing_is_said(tmp_path, caplog, source, kind, more, words):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(COLOUR).save(path, **more)
    with caplog.at_level(logging.INFO):
        source(str(path if source is File else tmp_path)).load()
    assert [record.getMessage() for record in caplog.records] == ([f"{path}: {words}"] if words else [])


def stored_png(path, **text):
    info = PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    info.add(b"gAMA", (100000).to_bytes(4, "big"))
    Image.fromarray(COLOUR).save(path, "PNG", pnginfo=info)


def saved(mode, kind, **more):
    return lambda path: Image.fromarray(COLOUR).convert(mode).save(path, kind, **more)


@pytest.mark.parametrize("save, words", [
    (saved("RGB", "JPEG", xmp=b"<x/>", comment=b"hi"), "XMP data, a comment"),
    (lambda path: stored_png(path, Author="me", Title="it"), "gamma 1, XMP data, text (Author, Title)"),
    (saved("P", "PNG"), "the palette"), (saved("P", "GIF"), "the palette"),
    (saved("CMYK", "JPEG"), "CMYK (its colours become RGB by a formula, without a profile)"),
    (saved("RGB", "WEBP", xmp=b"<x/>"), "XMP data"), (saved("RGB", "TIFF", tiffinfo={700: b"<x/>"}), "XMP data"),
    (lambda path: Image.fromarray(np.zeros((10, 14), np.float32)).save(path, "TIFF"), "samples of 32 bits"),
    (lambda path: Image.fromarray(COLOUR).save(path, "MPO", save_all=True, append_images=[Image.fromarray(COLOUR)]),
     "1 more pictures behind the first"),
])
def test_what_is_not_kept_is_said(tmp_path, caplog, save, words):
    save(tmp_path / "a.x")
    for read in (lambda: File(str(tmp_path / "a.x")).load(), lambda: as_images(tmp_path / "a.x")):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            read()
        (said,) = caplog.messages
        assert f"not kept: {words}" in said


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_dots_per_inch(tmp_path, caplog, kind):
    Image.fromarray(COLOUR).save(tmp_path / "a", kind, dpi=(300, 200))
    conventions = read_picture(tmp_path / "a").conventions
    tags = Image.Exif()
    tags.load(conventions.exif)
    assert conventions.dpi == (300, 200) and (tags[0x011A], tags[0x011B], tags[0x0128]) == (300, 200, 2)


def test_a_clip_says_what_it_does_not_keep(tmp_path, caplog):
    for name in "ab":
        Image.fromarray(COLOUR).save(tmp_path / f"{name}.png", icc_profile=WIDE, exif=exif())
    with caplog.at_level(logging.INFO):
        read_clip(tmp_path, slice(0, None, 1))
    assert caplog.messages == [f"{tmp_path}: not kept in the restored frames: ICC profile Wide gamut 13, EXIF data"]


@pytest.mark.parametrize("second, kept, lost", [(WIDE, WIDE, "EXIF data"),
                                                (None, None, "ICC profile Wide gamut 13, EXIF data")])
def test_sources_keep_a_profile_that_they_share(tmp_path, caplog, second, kept, lost):
    for name, icc in (("a", WIDE), ("b", second)):
        Image.fromarray(COLOUR).save(tmp_path / f"{name}.png", icc_profile=icc, exif=exif())
    with caplog.at_level(logging.INFO):
        pictures = Sources([str(tmp_path / "a.png"), str(tmp_path / "b.png")], None).load()
    assert pictures.conventions == Conventions(icc=kept)
    assert caplog.messages == [f"a: not kept in the fused picture: {lost}"]


def test_an_observation_s_own_profile_is_said(tmp_path, caplog):
    Image.fromarray(COLOUR).save(tmp_path / "y.png", icc_profile=WIDE)
    cfg = compose([f"task.observation={tmp_path / 'y.png'}"])
    with caplog.at_level(logging.INFO):
        build_problem(cfg.task, as_images(COLOUR), 0)
    assert "y.png: its ICC profile Wide gamut 13 is not kept, the restored file has none" in caplog.text


def test_16_bits_are_said():
    assert Conventions(bits=16).described(40, 30) == "40 x 30 px, 16 bits a channel"
