"""scripts/replay.py: every rule over recorded pictures."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from shared import DATA, shared

from dip_lab.png import encode_png

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "replay.py"


@pytest.fixture
def replay(script_of):
    with torch.no_grad():
        yield script_of("replay")


@pytest.fixture
def frames(tmp_path):
    """40 pictures that come nearer to the target until the 20th and then turn to noise."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(1, 3, 16, 18, generator=generator)
    (tmp_path / "target.png").write_bytes(encode_png(target))
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(40):
        noise = torch.randn(target.shape, generator=generator)
        image = target + (0.02 + 0.02 * abs(i - 20)) * noise
        (folder / f"{10 * i:06d}.png").write_bytes(encode_png(image.clamp(0, 1)))
    return folder


def table(path):
    with open(path, newline="") as file:
        return {row["rule"]: row for row in csv.DictReader(file)}


def test_every_rule_is_replayed(replay, frames, capsys):
    target = str(frames.parent / "target.png")
    replay.main([str(frames), "--target", target, "--observation", target, "--csv", str(frames.parent / "t.csv"),
                 "wmv.window=3", "wmv.patience=100", "wmv.min_start=0", "oracle.every=10", "emv.forget=0.5"])
    text = capsys.readouterr().out
    assert "holdout: left out: stopping=holdout changes the fit" in text and "sure: left out" in text
    assert "40 pictures, iterations 0 to 390; peak" in text and "at 200 (needs the target)" in text
    rows = table(frames.parent / "t.csv")
    assert rows.keys() == {"discrepancy", "emv", "fixed", "hanke_raus", "oracle", "plateau", "self_validation", "wmv"}
    assert rows["oracle"]["chosen_iteration"] == "200" and float(rows["oracle"]["gap"]) == 0
    assert abs(int(rows["wmv"]["chosen_iteration"]) - 200) <= 30 and rows["wmv"]["stopped_iteration"]
    assert rows["fixed"]["chosen_iteration"] == "390"


def test_without_the_observation_its_rules_are_left_out(replay, frames, capsys):
    replay.main([str(frames), "--target", str(frames.parent / "target.png"), "wmv.window=3"])
    text = capsys.readouterr().out
    assert "discrepancy: left out: needs --observation" in text and "plateau: left out" in text
    assert "wmv " in text and "oracle " in text


def test_without_a_target(replay, frames, capsys):
    replay.main([str(frames), "--observation", str(frames / "000390.png"), "wmv.window=3"])
    text = capsys.readouterr().out
    assert "oracle: left out" in text and "dB" not in text and "wmv " in text


@pytest.mark.slow
def test_a_mistake_at_the_prompt_is_one_line(frames):
    arguments = [str(frames), "--target", str(frames / "000000.png"), "nothing.here=3"]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and "nothing.here" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (["{0}/..", "--target", "{0}/000000.png"], "no pictures whose names are iterations"),
    (["{0}", "--target", "missing.png"], "missing.png"),
])
def test_what_cannot_be_replayed_is_refused(arguments, message, frames, replay):
    with pytest.raises(ValueError, match=message):
        replay.main([argument.format(frames) for argument in arguments])


@pytest.mark.slow
@shared("paper/trajectory_f16", "denoise9")
def test_the_published_f16_run(replay, tmp_path, capsys):
    # The published noisy picture is not the one that these frames were fitted to: their error is not correlated with
    # its noise. So only rules that look at the outputs alone can be replayed.
    replay.main([str(DATA / "paper/trajectory_f16"), "--target", str(DATA / "denoise9/F16.png"), "--csv",
                 str(tmp_path / "t.csv"), "wmv.window=6", "wmv.pixels=null", "emv.forget=0.5"])
    assert "60 pictures, iterations 0 to 2950; peak 30.68 dB at 1550" in capsys.readouterr().out
    rows = table(tmp_path / "t.csv")
    assert rows["oracle"]["chosen_iteration"] == "1550"
    assert rows["wmv"]["chosen_iteration"] == "1750" and float(rows["wmv"]["gap"]) < 0.3
    assert abs(int(rows["emv"]["chosen_iteration"]) - 1550) <= 200 and float(rows["emv"]["gap"]) < 0.3
