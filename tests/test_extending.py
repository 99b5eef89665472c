"""The examples of docs/extending.md and of the README run as they stand, from a package of one's own."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`([\w/]+/\w+\.(?:py|yaml))`")
BLOCK = re.compile(r"```(?:python|yaml)\n(.*?)```", re.DOTALL)


def files_of(page):
    """{file: content} of the blocks of a page: each is the file that was named last before it."""
    text, files = page.read_text(), {}
    for block in BLOCK.finditer(text):
        named = NAMED.findall(text, 0, block.start())
        if named and named[-1] not in files:
            files[named[-1]] = block[1]
    return files


@pytest.fixture
def lab(tmp_path, monkeypatch, command):
    """A folder with `mylab` and `my_configs`, filled from the pages' own blocks; the one the command works in."""
    for page in ("docs/extending.md", "README.md"):
        for name, text in files_of(ROOT / page).items():
            path = tmp_path / re.sub("^configs/", "my_configs/", name.replace("dip_lab/nets/", "mylab/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("dip_lab.nets.tiny", "mylab.tiny"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DIP_LAB_TARGETS", "mylab")
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        del sys.modules[module]


TINY = ["-cd", "my_configs", "logger=none", "iterations=4", "log_every=1", "device=cpu", "net.width=4"]


def test_the_pages_have_all_parts(lab):
    found = {path.relative_to(lab).as_posix() for path in lab.rglob("*") if path.suffix in (".py", ".yaml")}
    assert found >= {"mylab/rows.py", "mylab/ramp.py", "mylab/tiny.py", "my_configs/task/rows.yaml",
                     "my_configs/data/ramp.yaml", "my_configs/net/tiny.yaml"}
    assert len((lab / "mylab/rows.py").read_text().splitlines()) <= 25


@pytest.mark.parametrize("more", [[], ["tile=24", "splits.tiles.overlap=4"],
                                  ["tile=24", "splits.tiles.overlap=4", "splits/tiles=one"]], ids=" ".join)
def test_the_operator_is_fitted_tiled_and_scored(more, lab, command):
    code, said = command(*TINY, "task=rows", "data.size=32", *more)
    assert code == 0 and re.search(r"psnr_rows\s+[\d.]+ dB", said), said


def test_the_report_shows_its_score(lab, command):
    code, said = command(*TINY, "-m", "task=rows", "data.size=16", "seed=0,1")
    assert code == 0 and "psnr_rows" in said
    assert "PSNR rows" in Path("outputs/rows/report.html").read_text()
    assert "psnr_rows" in Path("outputs/rows/summary.csv").read_text().splitlines()[0]


@pytest.mark.slow
def test_the_source_is_swept_by_its_names(lab, command):
    code, said = command(*TINY, "-m", "data=ramp", "data.size=16")
    assert code == 0 and "2 done" in said
    assert sorted(path.parent.name.split("-")[2] for path in Path("outputs").glob("*/*/result.json")) == [
        "ramp_across", "ramp_down"]


def test_the_network_is_fitted(lab, command):
    code, said = command(*TINY, "net=tiny", "data.size=16")
    assert code == 0 and "dip_denoised.png" in said
