"""Seconds to a PSNR: the arithmetic of the report, and one tiny comparison with real processes."""

import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def quality(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import quality

    yield quality
    for name in ("quality", "worlds"):
        sys.modules.pop(name, None)


class Worker:
    """A worker's end of the pipe that answers each turn from a list."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def send(self, content):
        assert content is None

    def recv(self):
        return self.answers.pop(0)


def finished(quality, setting, world, *answers):
    run = quality.Run("House", setting, world, Worker(*answers))
    while run.summary is None:
        run.turn()
    return run


def test_only_its_own_turns_count_and_the_first_setting_is_the_goal(quality):
    summary = {"psnr": 30.0, "ssim": 0.9, "iterations": 30, "stop_reason": "it said so"}
    old = finished(quality, "old", "AVX2", (2.0, 28.0), (2.0, 29.85), (2.0, 29.95), summary)
    new = finished(quality, "new", "AVX2", (0.5, 29.95), summary | {"psnr": 29.95})
    poor = finished(quality, "poor", "AVX2", (0.5, 20.0), summary | {"psnr": 20.0})
    lines = quality.lines_of([old, new, poor], None)
    assert [line[3] for line in lines] == ["6 to 29.90 dB", "0 to 29.90 dB", "never 29.90 dB"]
    assert [line[4] for line in lines] == ["6", "0", "0"] and lines[0][5:] == ["30", "30.00", "0.900", "it said so"]
    assert quality.lines_of([old], 28.0)[0][3] == "2 to 28.00 dB"


def test_a_worker_that_fails_ends_the_program_with_its_traceback(quality):
    with pytest.raises(SystemExit, match="ValueError: no"):
        finished(quality, "old", "native", "Traceback: ValueError: no")


def test_a_world_is_left_again(quality, monkeypatch):
    import os

    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    with sys.modules["worlds"].inside("AVX2"):
        assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"
    assert "ATEN_CPU_CAPABILITY" not in os.environ


@pytest.mark.slow
def test_two_settings_of_a_tiny_picture(quality, tmp_path, monkeypatch, capsys):
    import benchmark

    Image.radial_gradient("L").resize((32, 32)).save(tmp_path / "disc.png")
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), str(SCRIPTS.parent), *sys.path])
    arguments = benchmark.parser().parse_args([
        "quality", "--pictures", str(tmp_path / "disc.png"), "--out", str(tmp_path / "table.md"), "--settings",
        "old=net=skip_narrow net.width=4 net.depth=2 iterations=20", "new=net.width=4 net.depth=2 iterations=20"])
    arguments.run(arguments)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert len(lines) == 6 and [line.split(" | ")[1] for line in lines[2:]] == ["old", "old", "new", "new"]
    assert lines[0] in capsys.readouterr().out
