"""scripts/table.py and the experiments of configs/experiment/paper and real, on small pictures."""

from pathlib import Path

import pytest
from PIL import Image
from shared import DATA, shared

from dip_lab.build import load_images
from dip_lab.catalogue import options
from dip_lab.compose import cells_of
from dip_lab.data.images import read_picture

TINY = ["net.width=4", "net.depth=2", "iterations=4", "logger=none", "device=cpu", "precision=float32"]
CELLS = ["experiment=paper/sr_x4_set5", "baseline=bicubic,none", "data.name=baby,bird", *TINY]


@pytest.fixture
def script(script_of, tmp_path, monkeypatch):
    """scripts/table.py, with a ledger of the test's own."""
    module = script_of("table")
    monkeypatch.setattr(module, "DOCS", tmp_path / "docs")
    return module


@pytest.fixture
def table(script, capsys):
    """Runs it with arguments: what it printed."""

    def run(*arguments):
        script.main(list(arguments))
        return capsys.readouterr().out

    return run


@pytest.fixture
def set5(tmp_path, monkeypatch):
    """Two small pictures where Set5's are looked for."""
    folder = tmp_path / "data" / "sr" / "Set5" / "HR"
    folder.mkdir(parents=True)
    for name in ("baby", "bird"):
        Image.effect_noise((70, 66), 60).convert("RGB").save(folder / f"{name}.png")
    monkeypatch.setenv("DIP_LAB_DATA", str(tmp_path / "data"))


def line_of(text, start):
    return [field.strip() for field in next(x for x in text.splitlines() if x.startswith(f"| {start}")).split("|")[2:]]


@pytest.mark.slow
def test_an_interrupted_table_resumes_and_is_right_at_every_moment(command, table, set5):
    arguments = ["paper/sr_x4_set5", *CELLS[1:]]
    assert line_of(table(*arguments), "DIP, last output, ours") == ["missing"] * 5 + ["0 of 5", "0 of 5", ""]
    code, printed = command("-m", *CELLS, "data.name=baby")  # as if it had been ended after the first picture
    assert code == 0, printed
    fields = line_of(table(*arguments), "DIP, last output, ours")
    assert fields[1:5] == ["missing"] * 4 and fields[5] == f"{fields[0]} (1 of 5)"
    code, printed = command(*CELLS)
    assert code == 0 and "2 done, 2 skipped, 0 failed" in printed
    again = table(*arguments)
    assert line_of(again, "DIP, last output, ours")[0] == fields[0]
    assert "(2 of 5)" in line_of(again, "bicubic, of Lanczos' small picture, ours")[5]
    written = Path("outputs/paper_sr_x4_set5/table.md").read_text()
    assert written.strip() in again and Path("outputs/paper_sr_x4_set5/table.tex").exists()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """What a plan measures is kept in a cache of the test's own."""
    monkeypatch.setattr("dip_lab.data.registry.cache_folder", lambda: tmp_path / "cache")


@pytest.mark.slow
def test_the_plan_counts_what_is_left_and_measures_the_step(command, table, set5, tmp_path):
    assert command("-m", *CELLS, "data.name=baby")[0] == 0
    plan = table("paper/sr_x4_set5", "--plan", *CELLS[1:])
    rows = {line.split()[0].rsplit("-", 1)[0]: line.split()[1:] for line in plan.splitlines()[1:5]}
    assert rows["super_resolution-bicubic-baby"] == ["done", "baseline"]
    assert rows["super_resolution-skip-baby"][:2] == ["done", "0"]
    status, left, pace, _ = rows["super_resolution-skip-bird"]
    assert (status, left) == ("missing", "4") and float(pace) > 0
    assert "hours, one cell after the other; 1 kinds of cells, 0 of them measured before" in plan
    assert "1 of them measured before" in table("paper/sr_x4_set5", "--plan", *CELLS[1:])
    (tmp_path / "cache" / "paces.json").write_text("[torn", encoding="utf-8")
    assert "0 of them measured before" in table("paper/sr_x4_set5", "--plan", *CELLS[1:])
    assert not list(Path("outputs/paper_sr_x4_set5").glob("*-skip-bird-*"))  # it ran nothing


@pytest.mark.slow
def test_what_was_cropped_is_what_was_published(command, set5):
    assert command("-m", *CELLS, "baseline=none", "data.name=bird")[0] == 0
    (folder,) = Path("outputs/paper_sr_x4_set5").glob("*-skip-bird-*")
    assert read_picture(folder / "dip_superres_x4.png").pixels.shape == (1, 3, 64, 64)
    assert command("-m", *CELLS, "baseline=none", "data.name=bird", "faithful=false")[0] == 0
    (other,) = set(Path("outputs/paper_sr_x4_set5").glob("*-skip-bird-*")) - {folder}
    assert read_picture(other / "dip_superres_x4.png").pixels.shape == (1, 3, 66, 70)


@shared("denoise9", "inpaint11", "sr", "dip_official", "inpaint_dip")
@pytest.mark.slow
@pytest.mark.parametrize("name", options("experiment/paper"))
def test_no_published_number_depends_on_how_odd_sizes_are_padded(name, monkeypatch):
    """The official code crops or leaves what is no multiple of its network's stride, and dip_lab pads it."""
    monkeypatch.setenv("DIP_LAB_DATA", str(DATA))
    if name == "flash":  # a figure without a number
        return
    for cfg in cells_of([f"experiment=paper/{name}", "baseline=none", "faithful=true"]):
        size = load_images(cfg.data).pixels.shape[-2:]
        assert all(side % 32 == 0 for side in size), (name, cfg.data, size)
        assert "lanczos" not in str(cfg.net.get("downsample", "")), "trained in the official code, and fixed here"


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"{folder}/{name}" for folder in ("paper", "real")
                                  for name in options(f"experiment/{folder}")])
def test_every_table_has_a_column_for_each_cell_and_a_cell_for_each_row(name):
    cells = cells_of([f"experiment={name}", "baseline=none"])
    spec = cells[0].get("table")
    if spec is None:
        return
    assert {str(cfg.data.name) for cfg in cells} <= set(spec.pictures)
    for row in spec.rows:
        published = "published" in row or "published_mean" in row
        assert not row.get("published") or len(row.published) == len(spec.pictures), row.name
        assert "key" in row or published, row.name
        assert not published or "https://" in row.get("source", "") or name.startswith("paper/"), row.name
    assert spec.tolerance == 0.5


def test_a_missing_picture_is_named_before_anything_is_measured(table, script, tmp_path, monkeypatch):
    def refused(entry, root):
        raise ValueError(f"{entry.file} cannot be downloaded")

    monkeypatch.setenv("DIP_LAB_DATA", str(tmp_path))
    monkeypatch.setattr("dip_lab.data.registry.download", refused)
    monkeypatch.setattr(script, "seconds_per_iteration", lambda cfg: pytest.fail("measured"))
    with pytest.raises(ValueError, match="sr/Set5/HR/bird.png cannot be downloaded"):
        table("paper/sr_x4_set5", "--plan", "baseline=none", "data.name=bird,baby")


@pytest.mark.slow
def test_finished_cells_are_added_to_the_ledger_once(command, table, set5, tmp_path):
    only = [*CELLS[1:], "baseline=none"]
    with pytest.raises(ValueError, match="no cell of paper/sr_x4_set5 is finished"):
        table("paper/sr_x4_set5", "--add", *only)
    assert command("-m", CELLS[0], *only)[0] == 0
    assert "2 cells added" in table("paper/sr_x4_set5", "--add", *only)
    assert "0 cells added" in table("paper/sr_x4_set5", "--add", *only)
    page = (tmp_path / "docs" / "published.md").read_text(encoding="utf-8")
    assert "| DIP, last output | bird | 0 | 31.80 |" in page and "not explained" in page
    longer = [*only, "iterations=5"]
    assert command("-m", CELLS[0], *longer)[0] == 0
    with pytest.raises(ValueError, match="the ledger has .* dB, this run .* dB: give --because"):
        table("paper/sr_x4_set5", "--add", *longer)
    assert "2 cells added" in table("paper/sr_x4_set5", "--add", "--because", "one more iteration", *longer)
    assert "Replaced: bird, seed 0, was " in (tmp_path / "docs" / "published.md").read_text(encoding="utf-8")
