"""Several seeds, and the spread of a sampler: the mean is the answer, the deviation a picture."""

import json

import torch
from PIL import Image

from dip_lab.metrics import psnr


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
    with Image.open(tmp_path / "uncertainty.png") as image:
        assert image.mode == "L" and image.size == (16, 16) and image.getextrema()[1] == 255
    assert result["psnr_peak"] >= result["psnr"] and result["seconds"] > max(m["seconds"] for m in members)


def test_two_seeds_without_a_folder(fit_tiny):
    assert len(fit_tiny("splits.seeds.count=2").summary["members"]) == 2


def test_a_sampler_has_an_uncertainty(fit_tiny, tmp_path):
    restoration = fit_tiny("optimizer=sgld", "average.burn_in=20", "average.every=2", folder=tmp_path)
    summary = restoration.summary
    assert (summary["average"], summary["stopping"]) == ("posterior", "fixed")
    assert (tmp_path / "uncertainty.png").exists()
    assert 0 < summary["uncertainty_mean"] < summary["uncertainty_max"]
    assert restoration.pictures["uncertainty"].shape == restoration.image.shape


def test_without_a_sampler_there_is_none(fit_tiny, tmp_path):
    assert "uncertainty" not in fit_tiny(folder=tmp_path).pictures
    assert not (tmp_path / "uncertainty.png").exists()
