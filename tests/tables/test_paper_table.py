"""Tables of published numbers next to ours, from result files alone."""

import csv
import io
import json
from pathlib import Path

import pytest

from dip_lab.compose import cells_of, resolved
from dip_lab.tables import paper_table
from dip_lab.tables.paper_table import as_csv, as_latex, as_markdown, entries, planned

SETTINGS = ["experiment=paper/denoise25", "data.name=House,F16,Lena", "baseline=none,nlm_slow"]
HOUSE, F16 = 32.09, 33.69  # published


@pytest.fixture(scope="module")
def configs():
    return cells_of(SETTINGS)


@pytest.fixture
def table(configs, tmp_path):
    """Writes result files, {(baseline, picture): (status, PSNR)}, and gives the entries by (method, picture)."""

    def make(results):
        cells = []
        for cfg in configs:
            cell = planned_at(cfg, tmp_path)
            status, psnr = results.get((cfg.hydra.runtime.choices.baseline, cfg.data.name), (None, None))
            if status:
                cell.folder.mkdir(parents=True, exist_ok=True)
                keys = ("psnr_8bit", "psnr_8bit_output", "psnr_8bit_average", "psnr_observed")
                content = {"status": status, **(dict.fromkeys(keys, psnr) if status != "failed" else {})}
                (cell.folder / "result.json").write_text(json.dumps(content))
            cells.append(planned_at(cfg, tmp_path))
        return entries(cells)

    return make


def planned_at(cfg, outputs):
    return planned(resolved(cfg), dict(cfg.hydra.runtime.choices), outputs / cfg.name)


def by_name(listed):
    return {(entry.method, entry.picture): entry for entry in listed}


def test_cells_of_are_those_of_the_sweep(configs):
    cells = [(cfg.hydra.runtime.choices.baseline, cfg.data.name) for cfg in configs]
    assert cells == [(b, p) for b in ("none", "nlm_slow") for p in ("House", "F16", "Lena")]
    assert all(cfg.splits.seeds.count == 2 for cfg in configs)
    assert len({planned_at(cfg, Path("outputs")).folder for cfg in configs}) == 6


@pytest.mark.slow
def test_the_cells_of_a_whole_experiment_fill_its_columns():
    cells = cells_of(["experiment=paper/sr_x4_set5"])
    assert sorted({cfg.data.name for cfg in cells}) == sorted(cells[0].table.pictures)


def test_ours_beside_published_with_the_deviation(table):
    listed = by_name(table({("none", "House"): ("done", 32.29), ("none", "F16"): ("done", 33.0)}))
    house, f16 = listed["DIP, two runs", "House"], listed["DIP, two runs", "F16"]
    assert (house.published, house.within) == (HOUSE, True) and house.deviation == pytest.approx(0.20)
    assert f16.deviation == pytest.approx(-0.69) and f16.within is False


def test_means_are_over_the_cells_that_exist_and_over_all(table):
    listed = by_name(table({("none", "House"): ("done", 32.0), ("none", "F16"): ("done", 33.0)}))
    mean, whole = listed["DIP, two runs", "mean"], listed["DIP, two runs", "all"]
    assert mean.ours == pytest.approx(32.5) and mean.published == pytest.approx((HOUSE + F16) / 2)
    assert mean.status == "2 of 9"
    assert whole.ours is None and whole.published == pytest.approx(31.29, abs=0.005)
    assert listed["DIP, averaged", "all"].published == 30.43  # only the mean was published
    assert listed["DIP, averaged", "mean"].published is None


def test_missing_interrupted_and_failed_cells_are_said_and_not_counted(table):
    listed = table({("none", "House"): ("done", 32.0), ("none", "F16"): ("interrupted", 20.0),
                    ("none", "Lena"): ("failed", None)})
    text = as_markdown(listed)
    line = next(line for line in text.splitlines() if line.startswith("| DIP, two runs, ours"))
    fields = [field.strip() for field in line.split("|")[2:]]
    assert fields[:3] == ["interrupted", "missing", "32.00"] and fields[7] == "failed"
    assert fields[9] == "32.00 (1 of 9)" and fields[10] == "1 of 9"


def test_a_method_that_was_only_published_has_one_line(table):
    lines = as_markdown(table({})).splitlines()
    assert [line.split(" |")[0] for line in lines if "CBM3D" in line] == ["| CBM3D, published"]


def test_several_seeds_have_a_mean_and_a_standard_deviation(tmp_path):
    cells = []
    for cfg, psnr in zip(cells_of([SETTINGS[0], "data.name=House", "baseline=none", "seed=0,1,2"]), (31, 32, 33),
                         strict=True):
        folder = planned_at(cfg, tmp_path).folder
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"status": "done", **dict.fromkeys(
            ("psnr_8bit", "psnr_8bit_output", "psnr_8bit_average"), psnr)}))
        cells.append(planned_at(cfg, tmp_path))
    entry = by_name(entries(cells))["DIP, two runs", "House"]
    assert (entry.ours, entry.std, entry.seeds) == (32, 1, 3)
    assert "32.00 ± 1.00 (3)" in as_markdown(entries(cells))


def test_csv_and_latex_hold_the_same_numbers(table):
    listed = table({("none", "House"): ("done", 32.29), ("nlm_slow", "House"): ("done", 31.4)})
    rows = list(csv.DictReader(io.StringIO(as_csv(listed))))
    row = next(row for row in rows if row["method"] == "NLM" and row["picture"] == "House")
    assert (row["ours"], row["published"], row["within"], row["status"]) == ("31.4", "31.49", "True", "done")
    assert row["source"] == ""  # what the header of the experiment names
    latex = as_latex(listed)
    assert r"\begin{tabular}{lrrrrrrrrrrr}" in latex and "31.40 & " in latex and latex.count(r"\\") == 1 + len(
        as_markdown(listed).splitlines()) - 2


@pytest.fixture
def quoted(configs, tmp_path):
    """Entries of rows of two sources, one of which has only a mean."""
    config = {**resolved(configs[0]), "table": {"tolerance": 0.5, "pictures": ["House", "F16"], "rows": [
        {"name": "TWSC", "published": [30.0, 31.0], "source": "Xu, https://a_b"},
        {"name": "ours", "cell": {"baseline": "none"}, "key": "psnr_8bit"},
        {"name": "MASH", "published_mean": 37.62, "source": "Table 1, https://c"},
        {"name": "CC", "published": [32.0, 33.0], "source": "Xu, https://a_b"}]}}
    return entries([planned(config, dict(configs[0].hydra.runtime.choices), tmp_path)])


def test_each_source_is_listed_once_below_the_table(quoted):
    table, *sources = as_markdown(quoted).split("\n\n")
    lines = table.splitlines()[2:]
    assert [line.split(" |")[0] for line in lines] == [
        "| TWSC, published [1]", "| ours, ours", "| MASH, published [2]", "| CC, published [1]"]
    assert [source.strip() for source in sources] == ["[1] Xu, https://a_b", "[2] Table 1, https://c"]
    assert as_latex(quoted).splitlines()[-2:] == [r"\par\noindent [1] Xu, https://a\_b",
                                                  r"\par\noindent [2] Table 1, https://c"]
    rows = list(csv.DictReader(io.StringIO(as_csv(quoted))))
    assert {row["method"]: row["source"] for row in rows} == {
        "TWSC": "Xu, https://a_b", "ours": "", "MASH": "Table 1, https://c", "CC": "Xu, https://a_b"}


def test_a_published_mean_without_pictures_stands_in_the_last_column(quoted):
    line = next(line for line in as_markdown(quoted).splitlines() if "MASH" in line)
    assert [field.strip() for field in line.split("|")[2:-1]] == ["", "", "", "37.62"]


def test_a_table_of_very_many_pictures_shows_the_means(quoted, monkeypatch):
    monkeypatch.setattr(paper_table, "WIDEST", 1)
    header, _, first, *_ = as_markdown(quoted).splitlines()
    assert header == "|  | mean | all |" and first == "| TWSC, published [1] |  | 30.50 |"
    assert as_csv(quoted).count("\n") == 1 + 4 * 4  # with every picture


def test_an_experiment_without_a_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no node table.rows"):
        entries([planned_at(cfg, tmp_path) for cfg in cells_of(["experiment=medical/mri"])])
