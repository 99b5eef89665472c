"""scripts/evaluate.py on small pictures and tiny restorers."""

import csv
import json
import sys
from pathlib import Path

import pytest
from checkpoints import SPOILED, checkpoint, run_of, spoiled
from PIL import Image
from shared import DATA, shared

from dip_lab import evaluate
from dip_lab.tables.evaluation import KAIR, OURS, Column, Value, means_of, page, published

FREE = {"noise_map": True, "maps": 1, "sigma": (0.0, 55.0)}
pytestmark = pytest.mark.usefixtures("one_thread", "without_plots")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs it in an empty folder with two pictures in `photos`: (exit code, what it printed, its errors)."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name, size in (("one", (24, 18)), ("two", (20, 26))):
        Image.radial_gradient("L").resize(size).save(f"photos/{name}.png")

    def run(*arguments):
        own = any(str(text).startswith("data=") for text in arguments)
        photos = [] if own else ["data=folder", "data.path=photos", "data.clean=true"]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments), *photos])
        code = evaluate.main()
        return code, *capsys.readouterr()

    return run


def rows_of(text):
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines if "---" not in line[0]}


def values_of(folder="outputs/evaluation"):
    with open(f"{folder}/evaluation.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_means_of_all_pictures_for_each_sigma(command, tmp_path):
    run_of(tmp_path / "my_run", **FREE)
    code, printed, errors = command("my_run", "median", "task.sigma=15,25", "--pictures")
    assert code == 0, errors
    assert printed.startswith("|  | folder, sigma 15 | folder, sigma 25 |")
    values = values_of()
    for sigma, place in ((15, 0), (25, 1)):
        mine = {row["picture"]: float(row["psnr"]) for row in values
                if row["method"] == "my_run" and float(row["sigma"]) == sigma}
        assert mine["mean"] == pytest.approx((mine["one"] + mine["two"]) / 2)
        assert rows_of(printed.partition("##")[0])["my_run"][place].startswith(f"{mine['mean']:.2f} / ")
        table = printed.partition(f"## folder, sigma {sigma}")[2].partition("##")[0]
        assert rows_of(table)["one"][0] == f"{mine['one']:.2f}"
    assert Path("outputs/evaluation/evaluation.md").read_text(encoding="utf-8") in printed
    assert len(list(Path("outputs/evaluation").glob("*/result.json"))) == 8


def test_what_is_done_is_not_computed_again(command, tmp_path, monkeypatch):
    checkpoint(tmp_path / "one.pt")
    assert command("one.pt")[0] == 0
    before = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("result.json")}
    monkeypatch.setattr("dip_lab.api.fit_in", lambda *_: pytest.fail("computed again"))
    code, printed, _ = command("one.pt")
    assert code == 0 and "| one |" in printed
    assert before == {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("result.json")}


def test_kairs_protocol_stands_beside_ours(command, tmp_path):
    checkpoint(tmp_path / "one.pt")
    code, printed, errors = command("one.pt", "faithful=true")
    assert code == 0, errors
    assert printed.startswith("|  | folder, sigma 25 | folder, sigma 25, KAIR |")
    ours, kair = rows_of(printed)["one"]
    assert ours != kair
    assert {row["protocol"] for row in values_of()} == {"ours", "KAIR"}


def test_dip_on_the_same_observation_is_a_row(command, tmp_path):
    checkpoint(tmp_path / "one.pt")
    command("one.pt")
    cell = next(Path("outputs/evaluation").glob("*-one-*"))
    result = json.loads((cell / "result.json").read_text(encoding="utf-8"))
    fits = {"same": {}, "another": {"observation": "00000000"}, "failed": {"status": "failed"}}
    for name, change in fits.items():
        Path("outputs/mine", name).mkdir(parents=True)
        fit = {**result, "net": "skip", "baseline": None, "restorer": None, "psnr": 31.25, **change}
        Path("outputs/mine", name, "result.json").write_text(json.dumps(fit), encoding="utf-8")
    code, printed, errors = command("one.pt")
    assert code == 0, errors
    row = rows_of(printed)["DIP skip (mine)"][0]
    assert row.startswith("31.25 / ") and row.endswith("(1 of 2)")


def test_two_restorers_of_one_name_keep_their_paths(command, tmp_path):
    for folder in ("a", "b"):
        run_of(tmp_path / folder / "run", **FREE)
    code, printed, _ = command("a/run", "b/run")
    assert code == 0 and {"a/run", "b/run"} <= rows_of(printed).keys()


@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_checkpoint_is_one_line(kind, command, tmp_path):
    path, message = spoiled(tmp_path)[kind]
    code, printed, errors = command(path)
    assert code == 2 and not printed
    assert message in errors and errors.count("\n") == 1
    assert not Path("executed").exists() and not Path("outputs").exists()


@pytest.mark.parametrize("arguments, message", [
    ([], "give a restorer: the folder of a run of scripts/train.py"),
    (["one.pt", "task.sigma=50"], "task.sigma=50: one.pt was trained for sigma 25: give another task.sigma"),
    (["one.pt", "task.sigma=25,50"], "task.sigma=50: one.pt was trained for sigma 25"),
    (["one.pt", "baseline.sigma=3"], "baseline.sigma=3: one.pt was trained for sigma 25"),
    (["one.pt", "task.sigm=3"], "task.sigm: there is no such key: did you mean task.sigma?"),
    (["one.pt", "baseline=nlm"], "baseline=...: name restorers without a key"),
    (["one.pt", "net=skip"], "net=...: name restorers without a key"),
    (["one.pt", "faithful=perhaps"], "faithful=perhaps: choose true or false"),
    (["one.pt", "faithful=true", "task/noise=poisson"], "faithful=true has a noise law of its own"),
    (["one.pt", "task=inpaint"], "was trained for task=denoise, not for inpaint"),
    (["one.pt", "data=set13"], "data=set13: did you mean set14?"),
    (["one.pt", "data=folder", "data.path=nothing"], "nothing"),
    (["trained"], "baseline=trained needs weights"),
])
def test_a_mistake_is_one_line(arguments, message, command, tmp_path):
    checkpoint(tmp_path / "one.pt")
    code, printed, errors = command(*arguments)
    assert code == 2 and message in errors and errors.count("\n") == 1, errors


def test_published_means_need_the_whole_set():
    whole, part = Column("set12", 25.0, OURS), Column("bsd68", 25.0, OURS)
    found = published({whole: 12, part: 67})
    assert {value.column for value in found} == {whole}
    assert {value.method: value.psnr for value in found}["DnCNN, published"] == 30.436
    assert all(value.source.count("https://") == 1 for value in found)


def test_published_means_stand_under_kairs_protocol_where_it_is():
    columns = {Column("set12", 25.0, protocol): 12 for protocol in (OURS, KAIR)}
    assert {value.column.protocol for value in published(columns)} == {KAIR}
    text = page([], published(columns), columns, False)
    assert rows_of(text)["DnCNN, published [1]"] == ["", "30.44"]


def test_a_mean_counts_each_picture_once():
    column = Column("set12", 25.0, OURS)
    values = [Value("m", column, "a", 10, 0.5), Value("m", column, "a", 20, 0.7), Value("m", column, "b", 30, None)]
    (mean,) = means_of(values)
    assert (mean.psnr, mean.ssim, mean.pictures) == (22.5, None, 2)


@pytest.mark.slow
@shared("Set12", "weights")
def test_dncnn_beside_its_published_mean(command, monkeypatch):
    monkeypatch.setenv("DIP_LAB_DATA", str(DATA))
    code, printed, errors = command("dncnn", "data=set12", "faithful=true")
    assert code == 0, errors
    rows = rows_of(printed)
    assert rows["dncnn"][1].startswith("30.43 / ") and rows["DnCNN, published [1]"] == ["", "30.44"]
