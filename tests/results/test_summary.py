"""The typed summary: a mapping of result.json, null where a kind of restoration has no value, and read back."""

import json
from collections.abc import Mapping
from dataclasses import replace

import torch

from dip_lab.data.images import Images
from dip_lab.results.calibration import CALIBRATION
from dip_lab.results.summary import Summary
from dip_lab.runs.files import write_json


def picture(height=13, width=17):
    return Images("grey", torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(2)))


def test_a_fit_a_baseline_tiles_seeds_and_a_clip_have_the_same_keys(fit_tiny):
    one = fit_tiny("iterations=2", picture=picture()).summary
    others = {
        "baseline": fit_tiny("baseline=nlm", picture=picture()).summary,
        "tiles": fit_tiny("iterations=2", "tile=12", "splits.tiles.overlap=4", picture=picture()).summary,
        "seeds": fit_tiny("iterations=2", "splits.seeds.count=2", picture=picture()).summary,
        "clip": fit_tiny("iterations=2", picture=Images("clip", torch.rand(3, 1, 12, 12))).summary,
    }
    kinds = {"clip": {"temporal_error", "warping_error"}, "seeds": {score.key for score in CALIBRATION}}
    for name, summary in others.items():
        assert set(summary) - set(one) == kinds.get(name, set()), name
    assert others["baseline"]["iterations"] is None and others["baseline"].parts is None
    assert len(others["tiles"].parts) == 4 and others["tiles"]["members"] is None
    assert others["tiles"].iterations == 2 and others["tiles"].chosen_iteration == 2
    assert [member["seed"] for member in others["seeds"].members] == [0, 1] and others["seeds"].parts is None
    assert others["clip"].frames == 3 and one.frames is None


def test_it_is_a_mapping(fit_tiny):
    summary = fit_tiny("iterations=2").summary
    assert isinstance(summary, Mapping) and dict(summary)["psnr"] == summary["psnr"] == summary.scores["psnr"]
    assert summary == dict(summary) and replace(summary, status="failed") != summary
    assert summary.get("not there") is None and "config_hash" in summary


def test_it_is_read_back(fit_tiny, tmp_path):
    summary = fit_tiny("iterations=2", "task=super_resolution", "task.factor=2").summary
    write_json(tmp_path / "result.json", dict(summary))
    read = Summary.read(json.loads((tmp_path / "result.json").read_text()), summary.cell)
    assert read == summary and read.scores == summary.scores and read.output == summary.output
