"""A run removes only what a run writes, and overwrites nothing that it has not written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dip_lab
from dip_lab.runs.claims import LOCK
from dip_lab.runs.files import write_json
from dip_lab.runs.identity import Cell
from dip_lab.runs.ours import protect, start_over, written

TINY = ("iterations=4", "log_every=2", "log_every_image=2", "data.size=16", "net.width=4", "net.depth=2",
        "logger=none", "device=cpu", "threads=1", "callbacks.checkpoint.seconds=0", "callbacks.guard.every=1")


def files_of(folder):
    """Those below it that Hydra has not written itself."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")
            if path.is_file() and ".hydra" not in path.parts and path.name not in (LOCK, "dip_lab.log")}


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("arguments", [
    ("tile=12", "splits.tiles.overlap=4", "splits.seeds.count=2", "logger=tensorboard", "answer=tiff"),
    ("data=video", "data.path=clip", "~data.size", "video.chunk=2", "video.overlap=1", "logger=csv"),
    ("iterations=-1",),
], ids=str)
def test_every_file_of_a_run_is_known_as_such(arguments, command):
    for t in range(3):
        picture(Path("clip") / f"{t}.png")
    given = [each for each in TINY if f"~{each.split('=')[0]}" not in arguments]
    code, said = command(*given, *(each for each in arguments if each[0] != "~"), "hydra.run.dir=run")
    assert code in (0, 2), said
    folder = Path("run")
    known = {path.relative_to(folder).as_posix() for path in written(folder, "dip_denoised")}
    assert known == files_of(folder) and "result.json" in known
    start_over(folder, "dip_denoised")
    assert files_of(folder) == set()


def test_a_run_that_starts_over_removes_nothing_else(command):
    assert command(*TINY, "hydra.run.dir=run")[0] == 0
    mine = {"run/notes.txt": b"mine", "run/snapshots/mine.txt": b"too", "run/photos/000500.png": b"three"}
    for name, content in mine.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)
    before = Path("run/result.json").stat().st_mtime_ns
    code, said = command(*TINY, "hydra.run.dir=run", "task.sigma=50")
    assert code == 2 and "holds the run of another experiment" in said and "rerun=true" in said
    assert command(*TINY, "hydra.run.dir=run", "task.sigma=50", "rerun=true")[0] == 0
    assert Path("run/result.json").stat().st_mtime_ns != before
    assert {name: Path(name).read_bytes() for name in mine} == mine


def test_the_answer_of_the_earlier_fit_is_removed_too(tmp_path):
    write_json(tmp_path / "result.json", {"status": "done", "answer": "dip_inpainted"})
    for name in ("dip_inpainted.png", "dip_inpainted_panel.png", ".dip_lab-abcdefgh", "dip_mine.png"):
        (tmp_path / name).touch()
    start_over(tmp_path, "dip_denoised")
    assert files_of(tmp_path) == {"dip_mine.png"}


@pytest.fixture
def cell(tmp_path):
    """A cell that reads a picture, in the folder `run`."""
    def make(path):
        config = {"data": {"path": str(path)}, "task": {"answer": "dip_denoised"}}
        return Cell("12345678", {}, "photo", 0, {}, config, config, tmp_path / "run")

    (tmp_path / "run").mkdir()
    return make


@pytest.mark.parametrize("rerun", [False, True])
@pytest.mark.parametrize("name", ["target.png", "dip_denoised.png", "restoration.png", "snapshots/000500.png"])
def test_a_picture_of_the_user_is_not_overwritten(name, rerun, cell, tmp_path):
    picture(tmp_path / "run" / name)
    with pytest.raises(ValueError, match=f"run/{name} is there already, and no run"):
        protect(cell("photo.png"), rerun)


@pytest.mark.parametrize(("read", "rerun"), [("target.png", False), ("photo.png", True), (".", True)])
def test_what_is_read_is_neither_replaced_nor_removed(read, rerun, cell, tmp_path):
    folder = tmp_path / "run"
    write_json(folder / "result.json", {"status": "done"})
    picture(folder / "target.png"), picture(folder / "photo.png")
    with pytest.raises(ValueError, match="is read, and lies in"):
        protect(cell(folder / read), rerun)
    with pytest.raises(ValueError, match="is read, and lies in"):
        protect(cell("no.png"), rerun, [folder / read])
    protect(cell(folder / "photo.png"), False)


def test_the_current_folder_is_not_emptied(cell, tmp_path):
    write_json(tmp_path / "run/result.json", {"status": "done"})
    with pytest.raises(ValueError, match="is the folder you are in"):
        protect(cell("photo.png"), True, here=tmp_path / "run")
    protect(cell("photo.png"), False, here=tmp_path / "run")
    protect(cell("photo.png"), True, here=tmp_path)


def test_a_foreign_result_is_named_and_kept(command, tmp_path):
    Path("run").mkdir()
    Path("run/result.json").write_text('{"a": 1}')
    for rerun in ("false", "true"):
        code, said = command(*TINY, "hydra.run.dir=run", f"rerun={rerun}")
        assert code == 2 and "run/result.json was not written by dip_lab" in said, said
        assert len(said.strip().splitlines()) == 1, said
    assert Path("run/result.json").read_text() == '{"a": 1}'


def test_restore_does_not_overwrite_its_picture(tmp_path):
    before = picture(tmp_path / "observed.png")
    with pytest.raises(ValueError, match="observed.png is there already"):
        dip_lab.restore(tmp_path / "observed.png", folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != LOCK] == ["observed.png"]
    assert (tmp_path / "observed.png").read_bytes() == before


@pytest.mark.parametrize(("arguments", "words"), [
    (("hydra.sweep.dir=.", "hydra.sweep.subdir=.", "rerun=true"), "each cell needs a folder of its own"),
    (("hydra.sweep.subdir=../x",), "each cell needs a folder of its own"),
    (("hydra.sweep.subdir=x",), "two cells of this sweep have the folder"),
    (("hydra.sweep.dir=.",), "summary.csv: this sweep would replace it"),
    (("hydra.sweep.dir=mine", "hydra.sweep.subdir=${seed}"), "was not written by dip_lab"),
])
def test_a_sweep_is_refused_before_it_replaces_anything(arguments, words, command):
    Path("summary.csv").write_text("mine")
    write_json(Path("mine/1/result.json"), {"a": 1})
    before = files_of(Path())
    code, said = command(*TINY, "-m", "seed=0,1", *arguments)
    assert code == 2 and words in said and len(said.strip().splitlines()) == 1, said
    assert files_of(Path()) == before
