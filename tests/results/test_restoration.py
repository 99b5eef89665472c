import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from dip_lab.data.images import Images
from dip_lab.trees import clone

SCORES = "psnr ssim psnr_8bit psnr_y psnr_hole".split()
KEYS = [*"""task data baseline net latent optimizer stopping average regularizer noise picture seed config_hash
    trajectory_hash observation answer jpeg_quality noise_estimate psnr_observed status error iterations
    chosen_iteration stop_reason oracle""".split(), *SCORES, "residual_std", "residual_correlation",
    *(f"{score}_output" for score in SCORES), *(f"{score}_average" for score in SCORES), *"""own_scores
    psnr_held_out psnr_last psnr_peak peak_iteration guard_events seconds seconds_per_iteration peak_memory_mb device
    precision parameters frames uncertainty_mean uncertainty_max members parts restorer versions overrides
    config""".split()]


def given(channels=3, height=13, width=17):
    return Images("grey", torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(2)))


@pytest.mark.parametrize(("channels", "shape", "mode"), [(1, (13, 17), "L"), (3, (13, 17, 3), "RGB")])
def test_numpy_and_pil(channels, shape, mode, fit_tiny):
    restoration = fit_tiny("iterations=3", picture=given(channels))
    array, image = restoration.numpy(), restoration.pil()
    assert array.shape == shape and array.dtype == np.float32 and 0 <= array.min() and array.max() <= 1
    assert image.mode == mode and image.size == (17, 13)
    assert (np.asarray(image) == np.rint(array * 255)).all()


def test_it_draws_itself(fit_tiny):
    restoration = fit_tiny("iterations=3")
    drawn = restoration._repr_html_()
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", drawn)
    assert len(pictures) == 2
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).load()
    assert "dip_denoised" in drawn and "dB" in repr(restoration) and "iterations used up" in repr(restoration)


def test_without_a_target_it_says_so(fit_tiny):
    restoration = fit_tiny("iterations=3", "task.given=true")
    assert "no target" in repr(restoration)
    assert set(restoration.pictures) == {"observed", "latent"}
    assert restoration._repr_html_().count("<img") == 2


def test_a_name_is_escaped(fit_tiny):
    restoration = fit_tiny("iterations=3")
    hostile = replace(restoration, summary=replace(restoration.summary, stop_reason="<script>"))
    assert "<script>" not in hostile._repr_html_()


def test_files_and_summary(fit_tiny, tmp_path):
    restoration = fit_tiny("iterations=40", folder=tmp_path)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["checkpoints", "dip_denoised.png", "dip_denoised_curves.png", "dip_denoised_panel.png",
                     "history.csv", "latent.png", "observed.png", "restoration.png", "result.json", "snapshots",
                     "stopping.csv", "target.png"]
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == ["000020.png", "000040.png"]
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            image.load()
    with Image.open(tmp_path / "dip_denoised.png") as image:
        assert image.size == (16, 16)
        assert (np.asarray(image) == np.asarray(restoration.pil())).all()
    result = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert list(result) == KEYS
    assert result["psnr"] == pytest.approx(result["psnr_average"])
    assert result["psnr_peak"] >= result["psnr"]


def test_a_perfect_score_is_null(fit_tiny, tmp_path, monkeypatch):
    restoration = fit_tiny("iterations=3", "task.sigma=0", folder=tmp_path)
    assert restoration.summary["psnr_observed"] == float("inf")
    assert json.loads((tmp_path / "result.json").read_text())["psnr_observed"] is None


class Keeper(pl.Callback):
    """Weights and outputs after each iteration."""

    def __init__(self):
        self.weights, self.output, self.average = {}, {}, {}

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
        self.module = module
        self.weights[iteration] = clone(dict(module.generator.state_dict()))
        self.output[iteration] = module.output.clone()
        self.average[iteration] = clone(module.average.image)


@pytest.mark.parametrize("stopping", ["wmv", "fixed", "oracle"])
@pytest.mark.parametrize("iterations", [7, 60])
def test_without_average_the_answer_is_of_the_clean_latent(iterations, stopping, fit_tiny):
    keeper = Keeper()
    restoration = fit_tiny(f"iterations={iterations}", "average=none", "latent.jitter=0.3", f"stopping={stopping}",
                           callbacks=[keeper])
    chosen = restoration.summary["chosen_iteration"]
    keeper.module.generator.load_state_dict(keeper.weights[chosen])
    with torch.no_grad():
        clean = keeper.module.generator(None)
    assert torch.equal(restoration.image, clean)
    assert not torch.equal(restoration.image, keeper.output[chosen])
    assert restoration.summary["psnr_average"] is None
    if stopping == "wmv" and iterations == 60:
        assert chosen < restoration.summary["iterations"]


@pytest.mark.parametrize("stopping", ["wmv", "fixed"])
def test_with_average_the_answer_is_the_chosen_iterations(stopping, fit_tiny):
    keeper = Keeper()
    restoration = fit_tiny(f"stopping={stopping}", callbacks=[keeper])
    assert torch.equal(restoration.image, keeper.average[restoration.summary["chosen_iteration"]])
    assert restoration.summary["psnr"] == restoration.summary["psnr_average"]
