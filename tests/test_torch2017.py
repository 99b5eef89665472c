"""scripts/torch2017.py: the table and the curves of docs/torch2017.md, from small fits."""

import pytest
from PIL import Image

TINY = ("net.width=4", "net.depth=2", "data.size=16", "iterations=4", "log_every=2", "logger=none", "device=cpu",
        "precision=float32", "net=skip", "stopping=fixed")


@pytest.fixture
def script(script_of, capsys):
    module = script_of("torch2017")

    def run(*arguments):
        module.main(list(map(str, arguments)))
        return capsys.readouterr().out

    return run


@pytest.mark.slow
def test_a_line_for_each_variant_and_a_figure_with_recorded_frames(command, script, tmp_path):
    code, said = command("-m", *TINY, "name=sweep", "seed=0,1", "net.norm_weight=ones,uniform")
    assert code == 0, said
    frames = tmp_path / "frames"
    frames.mkdir()
    for iteration in (0, 2):
        Image.new("RGB", (16, 16), "grey").save(frames / f"{iteration}.png")
    Image.new("RGB", (16, 16), "black").save(tmp_path / "target.png")
    printed = script("outputs/sweep", "--frames", frames, "--target", tmp_path / "target.png", "--figure", "curves.png")
    lines = [[field.strip() for field in line.split("|")[2:4]] for line in printed.splitlines() if "denoise" in line]
    assert lines == [["neither (today's)", "2"], ["weights U(0, 1)", "2"]]
    assert "| 0 | 5.99 |" in printed  # 20 log10(255 / 128)
    with Image.open("curves.png") as figure:
        assert figure.size[0] > 300


def test_what_is_missing_is_said(script, tmp_path):
    with pytest.raises(ValueError, match="no finished fits: run the sweeps first"):
        script(tmp_path)
    with pytest.raises(ValueError, match="--frames and --target go together"):
        script(tmp_path, "--frames", tmp_path)
