import logging

import numpy as np
import pytest
import torch
from PIL import Image
from shared import DATA, shared

from dip_lab.data.images import Images, read_picture
from dip_lab.data.sizes import centre_crop, crop_to_multiple, resize_to
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.masks import Alpha, Bernoulli, Blobs, Box, Color, File, Strokes, Text
from dip_lab.tasks.mri import File as Pattern

BOTH = {"path": None, "polarity": "white"}
LAWS = {
    "bernoulli": Bernoulli(**BOTH, missing=0.5, per_channel=False),
    "bernoulli-per-channel": Bernoulli(**BOTH, missing=0.5, per_channel=True),
    "blobs": Blobs(**BOTH, missing=0.3, scale=0.05),
    "strokes": Strokes(**BOTH, missing=(0.1, 0.5), boxes=0.4),
    "text": Text(**BOTH, text="deep image prior", lines=3, size=0.2),
}


@pytest.fixture
def save(tmp_path):
    def write(pixels, name="mask.png"):
        Image.fromarray(pixels).save(tmp_path / name)
        return str(tmp_path / name)

    return write


def from_file(path, polarity="white"):
    return File(path=path, polarity=polarity)


@pytest.mark.parametrize("name", LAWS)
def test_laws_depend_on_the_seed_alone(name, picture):
    law, sample = LAWS[name], picture(32, 45)
    known = law(sample, 1)
    assert known.dtype == torch.bool and known.shape[-2:] == (32, 45)
    assert torch.equal(known, law(sample, 1)) and not torch.equal(known, law(sample, 2))
    assert 0 < known.float().mean() < 1


def test_bernoulli_misses_its_fraction(picture):
    sample = picture(64, 80)
    for missing in (0.1, 0.5, 0.98):
        known = Bernoulli(**BOTH, missing=missing, per_channel=True)(sample, 0)
        assert known.shape == sample.pixels.shape
        assert (~known).float().mean().item() == pytest.approx(missing, abs=0.015)
    assert not torch.equal(known[:, 0], known[:, 1])
    assert Bernoulli(**BOTH, missing=0, per_channel=False)(sample, 0).all()


@pytest.mark.parametrize("missing", [0, 0.2, 0.5, 1])
def test_blobs_cover_exactly(missing, picture):
    known = Blobs(**BOTH, missing=missing, scale=0.05)(picture(33, 48), 4)
    assert (~known).sum().item() == round(missing * 33 * 48)


def test_blobs_are_blobs(picture):
    def changes(known):
        return (known[..., 1:] != known[..., :-1]).float().mean()

    sample = picture(64, 64)
    fine, coarse = (Blobs(**BOTH, missing=0.5, scale=s)(sample, 0) for s in (0.001, 0.08))
    assert changes(coarse) < 0.3 * changes(fine)


@pytest.mark.parametrize("missing", [(0.1, 0.5), (0.2, 0.2), (0.01, 0.02), (0.9, 0.95)])
@pytest.mark.parametrize("size", [(64, 64), (8, 50), (9, 8)])
def test_strokes_cover_a_share_from_the_range(missing, size, picture):
    low, high = missing
    shares = [(~Strokes(**BOTH, missing=missing, boxes=0.4)(picture(*size), seed)).float().mean().item()
              for seed in range(12)]
    pixel = 1 / (size[0] * size[1])
    assert all(low - pixel <= share <= max(high, pixel) + 1e-6 for share in shares)
    assert low == high or size[0] < 64 or max(shares) - min(shares) > (high - low) / 4


def test_strokes_can_be_boxes_alone(picture):
    def rectangles(boxes):
        law = Strokes(**BOTH, missing=(0.02, 0.3), boxes=boxes)
        holes = [~law(picture(64, 64), seed)[0, 0] for seed in range(30)]
        return sum(int(hole.sum() == hole.any(0).sum() * hole.any(1).sum()) for hole in holes)

    assert rectangles(1) > 3 and rectangles(0) == 0


@pytest.mark.parametrize("missing", [(0.5, 0.1), (0, 0.5), (0.1, 1), 0.3, (0.1,), "much"])
def test_shares_of_strokes_that_cannot_work(missing):
    with pytest.raises(ValueError, match="task.mask.missing"):
        Strokes(**BOTH, missing=missing, boxes=0.4)


def test_box_is_in_the_middle(picture):
    known = Box(**BOTH, fraction=0.25)(picture(16, 32), 0)[0, 0]
    assert not known[6:10, 12:20].any() and (~known).sum() == 4 * 8
    assert (~Box(**BOTH, fraction=0.001)(picture(16, 32), 0)).sum() == 1


def test_text_has_no_grey_and_fits_small_pictures(picture):
    for size in ((8, 8), (16, 64), (64, 16)):
        known = LAWS["text"](picture(*size), 0)
        assert known.shape == (1, 1, *size) and (~known).any() and known.any()
    more = Text(**BOTH, text="deep image prior", lines=6, size=0.1)
    fewer = Text(**BOTH, text="deep image prior", lines=2, size=0.1)
    assert (~more(picture(96, 96), 0)).sum() > 1.5 * (~fewer(picture(96, 96), 0)).sum()


def test_alpha_is_the_hole(picture):
    alpha = torch.ones(1, 1, 16, 16)
    alpha[..., :4] = 0
    alpha[..., 4:6] = 0.4
    assert torch.equal(Alpha(**BOTH)(picture(16, 16, alpha=alpha), 0), alpha > 0.5)
    with pytest.raises(ValueError, match=r"sample has no transparent pixels.*task\.mask\.path"):
        Alpha(**BOTH)(picture(16, 16), 0)


@pytest.mark.parametrize(
    "law", [from_file, lambda path, polarity: Box(path=path, polarity=polarity, fraction=0.5)]
)
def test_a_file_wins_over_any_law(law, save, picture):
    white = np.zeros((16, 24), np.uint8)
    white[3:9, 5:] = 255
    path, expected = save(white), torch.from_numpy(white > 0)[None, None]
    assert torch.equal(law(path, "white")(picture(16, 24), 0), expected)
    assert torch.equal(law(path, "black")(picture(16, 24), 0), ~expected)


def test_files_of_other_kinds(save, picture, caplog):
    bits = np.random.default_rng(0).integers(0, 2, (16, 24)).astype(np.uint8)
    expected, sample = torch.from_numpy(bits > 0)[None, None], picture(16, 24)
    for number, pixels in enumerate([bits, bits * 255, bits > 0, np.stack([bits * 255] * 3, -1)]):
        assert torch.equal(from_file(save(pixels, f"{number}.png"))(sample, 0), expected)
    assert not caplog.records
    levels = np.where(bits, 250, 3).astype(np.uint8)
    levels[0, :4] = np.where(bits[0, :4], 140, 100)  # the edge of a soft brush
    with caplog.at_level(logging.INFO):
        soft = from_file(save(levels))(sample, 0)
    assert torch.equal(soft, expected) and "1.0 % of the pixels are grey" in caplog.text


@pytest.mark.parametrize("low, high", [(0, 1), (0, 2), (1, 2), (100, 140), (0, 255), (254, 255)])
def test_two_levels_are_told_apart_whatever_they_are(low, high, save, picture, caplog):
    bits = np.random.default_rng(0).integers(0, 2, (16, 24))
    path, expected = save(np.where(bits, high, low).astype(np.uint8)), torch.from_numpy(bits > 0)[None, None]
    with caplog.at_level(logging.INFO):
        for polarity in ("white", "black"):
            operator = Masking(from_file(path, polarity))
            operator.prepare(picture(16, 24), seed=0, given=True)
            assert torch.equal(operator.known.bool(), expected == (polarity == "white"))
    assert not caplog.records


@pytest.mark.parametrize("level", [0, 1, 2, 255])
@pytest.mark.parametrize("polarity", ["white", "black"])
def test_a_mask_of_one_level_is_refused_without_advice_that_leads_nowhere(level, polarity, save, picture):
    mask = from_file(save(np.full((16, 24), level, np.uint8)), polarity)
    with pytest.raises(ValueError, match="the file must show both") as refused:
        Masking(mask).prepare(picture(16, 24), seed=0, given=True)
    assert "polarity" not in str(refused.value)


def test_a_photo_is_no_mask(save, picture):
    photo = (picture(16, 24).pixels[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    with pytest.raises(ValueError, match=r"mask\.png is no mask: \d+ % of its pixels.*task/mask=color"):
        from_file(save(photo))(picture(16, 24), 0)
    with pytest.raises(ValueError, match=r"task\.sampling\.path=.*is no mask: .*white = sampled"):
        Pattern(path=save(photo))(picture(16, 24), 0)


def test_a_mask_of_the_file_s_size_goes_the_picture_s_way(save, picture):
    bits = np.zeros((32, 48), np.uint8)
    bits[2:9, 4:21] = 2
    whole = Images("whole", torch.rand(1, 3, 32, 48))
    mask = from_file(save(bits), "black")
    assert torch.equal(mask(whole, 0)[0, 0], torch.from_numpy(bits == 0))
    small = mask(resize_to(whole, 24), 0)[0, 0]
    expected = torch.ones(16, 24, dtype=torch.bool)
    expected[1:5, 2:11] = False  # what is partly a hole is a hole
    assert torch.equal(small, expected)
    assert torch.equal(mask(centre_crop(whole, 20, (0.2, 0.1)), 0)[0, 0], torch.from_numpy(bits == 0)[:20, :20])
    assert torch.equal(mask(resize_to(crop_to_multiple(whole, 32), 16), 0)[0, 0],
                       torch.from_numpy(bits == 0)[:, 8:40].unfold(0, 2, 2).unfold(1, 2, 2).all(-1).all(-1))
    with pytest.raises(ValueError, match=r"mask\.png is 48 x 32 px.*picture is 16 x 16"):
        mask(picture(16, 16), 0)


def painted(picture, color=(255, 0, 0)):
    pixels = (picture.pixels[0].permute(1, 2, 0).numpy() * 120).astype(np.uint8)
    pixels[4:10, 5:15] = color
    return pixels


def test_a_painted_colour_is_the_hole(save, picture, caplog):
    sample, hole = picture(16, 24), torch.zeros(1, 1, 16, 24, dtype=torch.bool)
    hole[..., 4:10, 5:15] = True
    for path, photo in ((save(painted(sample)), sample), (None, read_picture(save(painted(sample), "photo.png")))):
        for color in ("red", "#ff0000", "#f00f0f"):
            law = Color(path=path, polarity="white", color=color, tolerance=24)
            assert torch.equal(law(photo, 0), ~hole)
        assert torch.equal(Color(path=path, polarity="black", color="red", tolerance=0)(photo, 0), hole)
    Masking(law).prepare(photo, seed=0, given=True)
    assert not caplog.records
    Masking(law).prepare(photo, seed=0, given=False)
    assert "add task.given=true" in caplog.text
    grey = Images("grey", torch.where(hole, 1.0, 0.3))
    assert torch.equal(Color(path=None, polarity="white", color="white", tolerance=9)(grey, 0), ~hole)


def test_paint_that_jpeg_or_data_size_has_mixed_with_its_surroundings(tmp_path, picture):
    pixels = painted(picture(64, 64))
    pixels[20:52, 12:40] = 255, 0, 0
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=85)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    paint = torch.from_numpy((pixels == [255, 0, 0]).all(-1))
    law = Color(path=None, polarity="white", color="red", tolerance=24)
    holes = ~law(read_picture(tmp_path / "a.jpg"), 0)[0, 0]
    assert holes[paint].all() and holes.sum() < 2 * paint.sum()
    holes = ~law(resize_to(read_picture(tmp_path / "a.png"), 32), 0)[0, 0]
    assert holes[paint.unfold(0, 2, 2).unfold(1, 2, 2).any(-1).any(-1)].all()


def test_colours_that_are_refused(picture):
    law = Color(path=None, polarity="white", color="lime", tolerance=9)
    with pytest.raises(ValueError, match=r"task\.mask\.color=lime: nothing in sample is painted.*mask\.tolerance=\d+"):
        law(Images("sample", picture(16, 24).pixels * 0.5), 0)
    with pytest.raises(ValueError, match=r"task/mask=color: sample has 5 channels.*task/mask=file"):
        law(picture(16, 24, 5), 0)

def test_files_that_are_refused(save, picture):
    with pytest.raises(ValueError, match=r"mask\.png is 24 x 16 px.*picture is 31 x 17 px.*data\.size"):
        from_file(save(np.zeros((16, 24), np.uint8)))(picture(17, 31), 0)
    hidden = np.zeros((16, 24, 4), np.uint8)
    hidden[:8, :, 3] = 255
    with pytest.raises(ValueError, match=r"task\.mask\.path=.*alpha channel"):
        from_file(save(hidden))(picture(16, 24), 0)
    with pytest.raises(ValueError, match=r"task\.mask\.path is empty.*task/mask=blobs"):
        from_file(None)(picture(16, 24), 0)
    with pytest.raises(ValueError, match="no such file"):
        from_file("absent.png")(picture(16, 24), 0)


@pytest.mark.parametrize(
    ("law", "values", "message"),
    [
        (File, {"polarity": "grey"}, r"task\.mask\.polarity=grey: choose white or black"),
        (Bernoulli, {"missing": 1.1, "per_channel": False}, r"task\.mask\.missing=1\.1: .* at most 1"),
        (Bernoulli, {"missing": float("nan"), "per_channel": False}, r"task\.mask\.missing=nan"),
        (Blobs, {"missing": -0.1, "scale": 0.1}, r"task\.mask\.missing=-0\.1"),
        (Blobs, {"missing": 0.1, "scale": 0}, r"task\.mask\.scale=0: .* above 0"),
        (Box, {"fraction": 0}, r"task\.mask\.fraction=0"),
        (Box, {"fraction": "half"}, r"task\.mask\.fraction=half"),
        (Color, {"color": "redd", "tolerance": 9}, r"task\.mask\.color=redd: there is no such colour"),
        (Color, {"color": "red", "tolerance": 256}, r"task\.mask\.tolerance=256: .* at most 255"),
        (Text, {"text": " ", "lines": 3, "size": 0.1}, r"task\.mask\.text is empty"),
        (
            Text,
            {"text": "a", "lines": 0, "size": 0.1},
            r"task\.mask\.lines=0: give a whole number of at least 1",
        ),
        (Text, {"text": "a", "lines": 2.5, "size": 0.1}, r"task\.mask\.lines=2\.5"),
        (Text, {"text": "a", "lines": 2, "size": 2}, r"task\.mask\.size=2"),
    ],
)
def test_values_that_are_refused(law, values, message):
    with pytest.raises(ValueError, match=message):
        law(**(BOTH | values))


@shared("denoise9", "bad")
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("mask_good_256", 0.3, 0.99),
        ("mask_values_0_1", 0.3, 0.99),
        ("mask_soft", 0.3, 0.99),
        ("mask_rgb", 0.3, 0.99),
        ("mask_inverted", 0.01, 0.7),
        ("mask_0.1_percent", 0.0005, 0.002),
    ],
)
def test_shared_masks(name, low, high):
    house = read_picture(DATA / "denoise9" / "House.png")
    operator = Masking(from_file(str(DATA / "bad" / f"{name}.png")))
    operator.prepare(house, seed=0, given=False)
    assert low <= operator.known.mean() <= high


@shared("denoise9", "bad")
@pytest.mark.parametrize(
    ("name", "message"),
    [("wrong_size", "180 x 200.*256 x 256"), ("all_zero", "nothing is known"), ("all_one", "nothing to fill"),
     ("in_alpha", "alpha channel")],
)
def test_shared_masks_that_are_refused(name, message):
    house = read_picture(DATA / "denoise9" / "House.png")
    with pytest.raises(ValueError, match=message):
        Masking(from_file(str(DATA / "bad" / f"mask_{name}.png"))).prepare(house, seed=0, given=False)
