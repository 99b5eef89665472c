import csv
import math

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import Logger
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dip_lab.loggers.tracker import Tracker


class Recorder(pl.Callback):
    """Copies of output and average after each iteration."""

    def __init__(self):
        self.output, self.average, self.loss = {}, {}, {}

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
        self.output[iteration] = module.output.clone()
        self.loss[iteration] = module.loss.item()
        self.average[iteration] = None if module.average.image is None else module.average.image.clone()
        self.target = module.problem.target


def picture(tensor):
    return tensor[0].permute(1, 2, 0).clamp(0, 1).numpy()


@pytest.mark.parametrize("average", ["ema", "none"])
def test_rows_and_scores(average, fit_tiny, tmp_path):
    seen = Recorder()
    restoration = fit_tiny("iterations=23", f"average={average}", folder=tmp_path, callbacks=[seen])
    rows = restoration.history.rows
    assert [row["iteration"] for row in rows] == [1, 5, 10, 15, 20, 23]
    target = picture(seen.target)
    for row in rows:
        at = row["iteration"]
        assert row["loss"] == seen.loss[at]
        scored = picture(seen.output[at])
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(target, scored, data_range=1), abs=1e-4)
        if average == "ema":
            scored = picture(seen.average[at])
            psnr = peak_signal_noise_ratio(target, scored, data_range=1)
            assert row["psnr_average"] == pytest.approx(psnr, abs=1e-4)
        else:
            assert math.isnan(row["psnr_average"])
        ssim = structural_similarity(target, scored, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                     use_sample_covariance=False)
        assert row["ssim"] == pytest.approx(ssim, abs=1e-4)
    with open(tmp_path / "history.csv", newline="") as file:
        assert [int(row["iteration"]) for row in csv.DictReader(file)] == [1, 5, 10, 15, 20, 23]
    assert restoration.summary["psnr_last"] == rows[-1]["psnr_average" if average == "ema" else "psnr"]


def test_the_row_where_the_rule_stops(fit_tiny):
    restoration = fit_tiny("log_every=40", "iterations=300")
    stopped = restoration.summary["iterations"]
    assert stopped < 300
    assert restoration.history.rows[-1]["iteration"] == stopped


def test_without_a_target_the_scores_are_empty(fit_tiny):
    restoration = fit_tiny("iterations=6", "task.given=true")
    assert all(math.isnan(row[key]) for row in restoration.history.rows for key in ("psnr", "psnr_average", "ssim"))
    assert [restoration.summary[key] for key in ("psnr", "ssim", "psnr_peak", "psnr_observed")] == [None] * 4


class Failing(Logger):
    name, version = "failing", 0

    def __init__(self):
        super().__init__()
        self.calls = []

    def _fail(self, what):
        self.calls.append(what)
        raise RuntimeError("the tracker's disk is full")

    def log_metrics(self, metrics, step=None):
        self._fail(("metrics", step))

    def log_image(self, key, images, step=None):
        self._fail((key, step))

    def summarize(self, summary):
        self._fail("summary")

    def log_hyperparams(self, *args, **kwargs):
        pass


def test_a_tracker_that_fails_does_not_end_the_fit(fit_tiny, tmp_path, monkeypatch, caplog):
    logger = Failing()
    monkeypatch.setattr(Tracker, "open", lambda self: [logger])
    restoration = fit_tiny("iterations=20", folder=tmp_path, callbacks=[])
    assert restoration.summary["status"] == "done"
    assert [row["iteration"] for row in restoration.history.rows] == [1, 5, 10, 15, 20]
    assert (tmp_path / "snapshots" / "000020.png").exists() and (tmp_path / "result.json").exists()
    assert {("metrics", 1), ("metrics", 20), ("output", 20), ("restoration", 20), "summary"} <= set(logger.calls)
    assert "the tracker's disk is full" in caplog.text
