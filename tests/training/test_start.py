"""A fit that begins with trained weights: `generator.init_from`."""

import re
from dataclasses import asdict

import pytest
import torch

from dip_lab.tables.cells import net_of as net_said
from dip_lab.training.checkpoint import Card, load, net_of
from dip_lab.training.start import load_start
from tests.checkpoints import CARD, checkpoint, run_of

NET = {"width": 4, "depth": 2}
START = {"net": "skip_narrow", "options": NET, "residual": False}


def net(channels=1):
    return net_of(Card(**{**asdict(CARD), **START, "channels": channels}))


def test_a_training_s_weights_and_what_it_was(tmp_path):
    run, mine = run_of(tmp_path / "run", **START), net()
    about = load_start(mine, str(run), 1)
    theirs = load(str(run)).restorer.net.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in mine.state_dict().items())
    assert about["data"] == "train/folder" and about["pictures"] == 7 and len(about["sha256"]) == 64


def test_the_weights_for_the_picture_s_channels(tmp_path):
    both = {"grey": str(checkpoint(tmp_path / "grey.pt", **START)),
            "colour": str(checkpoint(tmp_path / "colour.pt", **START, channels=3))}
    for channels in (1, 3):
        assert load_start(net(channels), both, channels)["channels"] == channels
    with pytest.raises(ValueError, match="give one file, or one as grey and one as colour"):
        load_start(net(), {"grey": both["grey"]}, 1)


def test_what_cannot_be_a_start_is_refused_in_one_line(tmp_path):
    other = str(checkpoint(tmp_path / "other.pt", **START | {"options": NET | {"width": 8}}))
    for start, message in ((other, "is a training of net=skip_narrow: .* give the same net"),
                           (str(tmp_path / "none"), "there is no such file"),
                           (str(tmp_path), "has no checkpoints/best")):
        with pytest.raises(ValueError, match=re.escape(f"generator.init_from={start}: ") + ".*" + message) as refused:
            load_start(net(), start, 1)
        assert "\n" not in str(refused.value)


def test_a_fit_with_a_learned_start_says_so(tmp_path, fit_tiny):
    start = checkpoint(tmp_path / "start.pt", **START, channels=3)
    options = "net=skip_narrow", "latent=image", "stopping=fixed", "iterations=1"
    learned = fit_tiny(*options, f"generator.init_from={start}").summary
    assert learned["restorer"]["data"] == "train/folder" and net_said(learned) == "skip_narrow, learned start"
    assert fit_tiny(*options).summary["restorer"] is None
