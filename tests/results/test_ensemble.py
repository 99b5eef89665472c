"""Several seeds, and the spread of a sampler: the mean is the answer, the deviation a picture."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from dip_lab.data.images import Images
from dip_lab.metrics import psnr
from dip_lab.results.calibration import CALIBRATION
from dip_lab.results.summary import white_of
from dip_lab.splits.seeds import spread

CALIBRATED = {score.key for score in CALIBRATION}
SAMPLER = ("optimizer=sgld", "average.burn_in=4", "average.every=2", "iterations=12")


def test_two_seeds_are_two_fits_of_one_observation(fit_tiny, tmp_path):
    both = fit_tiny("splits.seeds.count=2", folder=tmp_path)
    # The first member is the fit with one seed; the second has another seed and the same observation.
    alone = fit_tiny()
    target, observed = both.pictures["target"], both.pictures["observed"]
    assert torch.equal(observed, alone.pictures["observed"])
    result = json.loads((tmp_path / "result.json").read_text())
    members = result["members"]
    assert [member["seed"] for member in members] == [0, 1] and members[0]["psnr"] == alone.summary["psnr"]
    second = json.loads((tmp_path / "seed1" / "result.json").read_text())
    assert second["psnr"] == members[1]["psnr"] and second["observation"] == result["observation"]
    assert result["psnr"] == float(psnr(both.image, target)) == both.summary["psnr"]
    other = 2 * both.image - alone.image
    torch.testing.assert_close(float(psnr(other, target)), members[1]["psnr"], rtol=0, atol=1e-3)
    deviation = (both.image - alone.image).abs() * 2**0.5  # of two values
    torch.testing.assert_close(both.pictures["uncertainty"], deviation, rtol=1e-3, atol=1e-5)
    expected = {"uncertainty": deviation, "error": (both.image - target).abs()}
    white = white_of(result["uncertainty_mean"])
    for name, values in expected.items():
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.mode == "L" and image.size == (16, 16)
            drawn = np.asarray(image) / 255 * white
        np.testing.assert_allclose(drawn, (255 * values.mean(1)[0]).clamp(max=white), atol=0.51 * white / 255 + 0.01)
    assert result["uncertainty_mean"] == pytest.approx(float(deviation.mean()), rel=1e-3)
    within = (both.image - target).abs() <= deviation
    assert result["within_1_std"] == pytest.approx(100 * float(within.float().mean()), abs=0.2)
    assert result["psnr_peak"] >= result["psnr"] and result["seconds"] > max(m["seconds"] for m in members)


def test_two_seeds_without_a_folder(fit_tiny):
    assert len(fit_tiny("splits.seeds.count=2").summary["members"]) == 2


def test_a_sampler_has_an_uncertainty(fit_tiny, tmp_path):
    restoration = fit_tiny(*SAMPLER, folder=tmp_path)
    summary = restoration.summary
    assert (summary["average"], summary["stopping"]) == ("posterior", "fixed")
    assert (tmp_path / "uncertainty.png").exists()
    assert 0 < summary["uncertainty_mean"] < summary["uncertainty_max"]
    assert restoration.pictures["uncertainty"].shape == restoration.image.shape
    result = json.loads((tmp_path / "result.json").read_text())
    assert CALIBRATED <= result.keys() and {entry["key"] for entry in result["own_scores"]} == CALIBRATED


def test_without_a_target_there_is_no_error_to_compare_with(fit_tiny, tmp_path, without_plots):
    restoration = fit_tiny(*SAMPLER, "task.given=true", folder=tmp_path)
    assert restoration.summary.uncertainty_mean > 0 and not CALIBRATED & restoration.summary.keys()
    assert (tmp_path / "uncertainty.png").exists() and not (tmp_path / "error.png").exists()


def test_without_a_sampler_there_is_none(fit_tiny, tmp_path):
    restoration = fit_tiny(folder=tmp_path)
    assert "uncertainty" not in restoration.pictures and not CALIBRATED & restoration.summary.keys()
    assert not (tmp_path / "uncertainty.png").exists() and not (tmp_path / "error.png").exists()


@pytest.mark.parametrize("count", [1, 3])
def test_variances_within_and_between_add_up(count):
    """As those of all samples together, of which each member has equally many."""
    samples = torch.rand(count, 50, 1, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples += torch.arange(count).reshape(-1, 1, 1, 1, 1, 1)
    members = [SimpleNamespace(pictures={"uncertainty": each.std(0)}) for each in samples]
    found = spread(samples.mean(1), members)
    between = samples.mean(1).var(0) if count > 1 else 0
    torch.testing.assert_close(found.square(), samples.var(1).mean(0) + between)
    assert spread(samples.mean(1)[:1], [SimpleNamespace(pictures={})]) is None


def test_seeds_of_a_sampler_are_less_certain_than_one(fit_tiny):
    one, both = fit_tiny(*SAMPLER), fit_tiny(*SAMPLER, "splits.seeds.count=2")
    between = 2 * (both.image - one.image).square()  # the variance of two values
    assert bool((both.pictures["uncertainty"].square() >= between - 1e-6).all())
    assert both.summary.uncertainty_mean > float(between.sqrt().mean())


def test_of_a_clip_and_of_tiles(fit_tiny, tmp_path, without_plots):
    pixels = torch.rand(3, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    clip = fit_tiny(*SAMPLER, picture=Images("clip", pixels))
    assert clip.pictures["uncertainty"].shape == (3, 1, 24, 24) and CALIBRATED <= clip.summary.keys()
    for network, iterations in (("each", 12), ("one", 40)):  # one: each iteration sees a single tile
        tiles = fit_tiny(*SAMPLER, f"iterations={iterations}", "tile=16", "splits.tiles.overlap=4",
                         f"splits/tiles={network}", picture=Images("large", pixels[:1]), folder=tmp_path / network)
        deviation = tiles.pictures["uncertainty"]
        assert deviation.shape == (1, 1, 24, 24) and bool((deviation > 0).all()) and CALIBRATED <= tiles.summary.keys()
        assert tiles.summary.uncertainty_mean == pytest.approx(float(deviation.mean()))
        assert (tmp_path / network / "error.png").exists()
    parts = tmp_path / "each" / "parts"
    first = np.load(parts / "0000" / "deviation.npy")  # its corner is in no other tile
    again = fit_tiny(*SAMPLER, "tile=16", "splits.tiles.overlap=4", picture=Images("large", pixels[:1]),
                     folder=tmp_path / "each").pictures["uncertainty"]
    np.testing.assert_allclose(again[0, 0, :4, :4], first[0, 0, :4, :4], atol=1e-6)


def test_a_part_of_an_earlier_version_leaves_the_whole_without(fit_tiny, tmp_path, without_plots):
    tiles = (*SAMPLER, "tile=16", "splits.tiles.overlap=4")
    picture = Images("large", torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0)))
    whole = fit_tiny(*tiles, picture=picture, folder=tmp_path)
    deviation = tmp_path / "parts" / "0001" / "deviation.npy"
    deviation.unlink()
    again = fit_tiny(*tiles, picture=picture, folder=tmp_path)
    assert torch.equal(again.image, whole.image) and "uncertainty" not in again.pictures
    assert again.summary.uncertainty_mean is None and not CALIBRATED & again.summary.keys()
