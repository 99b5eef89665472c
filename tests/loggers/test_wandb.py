"""The trackers: what W&B holds on disk after an offline run, and that no tracker can end a fit."""

import csv
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from dip_lab.compose import compose
from dip_lab.loggers import wandb_run
from dip_lab.loggers.sweep_table import read_table
from dip_lab.runs.ours import start_over

LOGGERS = Path(__file__).resolve().parents[2] / "configs" / "logger"
TINY = ["iterations=4", "log_every=2", "log_every_image=2", "device=cpu", "net.width=4", "net.depth=2", "data.size=16"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As in a process in which W&B has not failed yet."""
    monkeypatch.setattr(wandb_run, "stays_offline", False)
    monkeypatch.setattr(wandb_run, "has_warned", False)


def records(path: Path) -> list[wandb_internal_pb2.Record]:
    """The records of a `.wandb` file, whose last parts W&B's own process may write after the run has ended."""
    waited = time.monotonic() + 60
    while True:
        found = list(written(path.read_bytes()))
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        assert time.monotonic() < waited, f"{path} has no end"
        time.sleep(0.1)


def written(data: bytes) -> Iterator[wandb_internal_pb2.Record]:
    """The whole records of LevelDB's log format (blocks of 32 KiB) behind a header of 7 bytes."""
    position, record = 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if position + 7 + length > len(data):
            return
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def items(message) -> dict:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in message}


def read_run(folder: Path) -> dict:
    """What the one W&B run of a run's folder holds."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    run = {"history": [], "summary": {}, "config": {}}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run["id"], run["group"], run["tags"] = record.run.run_id, record.run.run_group, list(record.run.tags)
        elif kind == "history":
            run["history"].append(items(record.history.item))
        elif kind == "summary":
            run["summary"] |= items(record.summary.update)
        elif kind == "config":
            run["config"] |= items(record.config.update)
        elif kind == "exit":
            run["exit"] = record.exit.exit_code
    return run


def history_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_each_cell_of_a_sweep_is_a_run_with_the_curves_of_its_history(command):
    code, said = command(*TINY, "-m", "logger=wandb", "seed=0,1")
    assert code == 0, said
    folders = sorted(path.parent for path in Path("outputs").glob("*/*/result.json"))
    runs = [read_run(folder) for folder in folders]
    assert len({run["id"] for run in runs}) == 2
    for folder, run in zip(folders, runs, strict=True):
        result = json.loads((folder / "result.json").read_text())
        curves = [row for row in run["history"] if "loss" in row]
        rows = history_rows(folder)
        assert [row["iteration"] for row in curves] == [int(row["iteration"]) for row in rows] == [1, 2, 4]
        for key in ("loss", "psnr", "psnr_average", "ssim"):
            assert [row[key] for row in curves] == [float(row[key]) for row in rows]
        pictures = [(key, row["iteration"]) for row in run["history"] for key in ("output", "restoration")
                    if f"{key}._type" in row]
        assert pictures == [("output", 2), ("output", 4), ("restoration", 4)]
        assert run["group"] == "denoise" and set(run["tags"]) == {"denoise", "skip_fast", "auto"}
        assert run["config"]["seed"] == result["seed"] and run["config"]["task"]["answer"] == "dip_denoised"
        assert run["summary"]["psnr"] == result["psnr"] and run["summary"]["status"] == "done"
        assert run["exit"] == 0
        assert run["id"].endswith(result["config_hash"])
        start_over(folder, "dip_denoised")
        assert not (folder / "wandb").exists()


def test_the_variable_wandb_mode_wins(command, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    code, _ = command(*TINY, "logger=wandb", "logger.wandb.mode=offline")
    (folder,) = Path("outputs").glob("*/*")
    assert code == 0 and not list(folder.glob("wandb/*run-*")) and len(history_rows(folder)) == 3


def test_an_unknown_mode_is_refused(command, monkeypatch):
    code, said = command(*TINY, "logger=wandb", "logger.wandb.mode=dry")
    assert code == 2 and said.startswith("logger.wandb.mode=dry") and "offline" in said
    monkeypatch.setenv("WANDB_MODE", "dry")
    code, said = command(*TINY, "logger=wandb")
    assert code == 2 and said.startswith("WANDB_MODE=dry: choose offline")


@pytest.mark.parametrize("old, new", [("dryrun", "offline"), ("run", "online"), ("disabled", "disabled")])
def test_the_old_names_of_the_modes(old, new, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", old)
    monkeypatch.setattr(wandb_run, "_init", lambda mode, labels: mode)
    assert wandb_run.open_run("p", "offline", "here", "group", "name", "id") == new


@pytest.mark.parametrize("home", [None, "/proc"])
def test_without_a_home_wandb_writes_elsewhere(home, monkeypatch):
    monkeypatch.setenv("HOME", home) if home else monkeypatch.delenv("HOME")
    for variable in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR"):  # set first, so that both are forgotten after the test
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setattr(wandb_run, "_init", lambda mode, labels: os.environ["WANDB_CACHE_DIR"])
    folder = wandb_run.open_run("p", "offline", "here", "group", "name", "id")
    assert folder == os.environ["WANDB_DATA_DIR"] and folder.startswith(tempfile.gettempdir())


def test_an_empty_wandb_mode_is_none(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setattr(wandb_run, "_init", lambda mode, labels: os.environ.get("WANDB_MODE", mode))
    assert wandb_run.open_run("p", "offline", "here", "group", "name", "id") == "offline"


def test_a_wandb_that_does_not_start_costs_nothing_and_says_so_once(command, monkeypatch):
    def init(**settings):
        raise wandb.errors.CommError("no space\nleft")

    monkeypatch.setattr(wandb, "init", init)
    code, said = command(*TINY, "-m", "logger=wandb", "seed=0,1")
    folders = [path.parent for path in Path("outputs").glob("*/*/result.json")]
    assert code == 0 and len(folders) == 2
    assert said.count("did not start (no space left): history.csv has the curves") == 1
    assert said.count("Weights & Biases") == 1
    assert all(len(history_rows(folder)) == 3 for folder in folders)


def test_a_wandb_that_breaks_during_the_fit_costs_nothing_and_says_so_once(command, monkeypatch):
    class Broken:
        def __getattr__(self, name):
            if name in ("define_metric", "_label"):
                return lambda *arguments, **settings: None
            raise OSError("no space left")

    monkeypatch.setattr(wandb, "init", lambda **settings: Broken())
    code, said = command(*TINY, "logger=wandb")
    (folder,) = Path("outputs").glob("*/*")
    assert code == 0 and said.count("stopped logging (no space left): history.csv has the curves") == 1
    assert said.count("Weights & Biases") == 1
    assert len(history_rows(folder)) == 3 and (folder / "result.json").exists()


def test_the_next_run_has_a_wandb_again_after_its_process_died(tmp_path):
    script = """
import os, signal, subprocess
from dip_lab.loggers.wandb_run import close_run, open_run
for name in ("first", "second"):
    run = open_run("dip_lab", "offline", name, "group", name, name)
    if name == "first":
        found = subprocess.run(["pgrep", "-P", str(os.getpid()), "wandb-core"], capture_output=True, check=True)
        os.kill(int(found.stdout), signal.SIGKILL)
    else:
        run.log({"loss": 1})
    close_run(run)
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True,
                           text=True, timeout=60)
    assert ended.returncode == 0 and ended.stderr.count("Weights & Biases") == 1, ended.stderr
    assert "did not close its run" in ended.stderr
    assert read_run(tmp_path / "second")["history"][0]["loss"] == 1


def environment() -> dict[str, str]:
    """The variables of this process, without the W&B settings of the person who tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}


def test_an_offline_run_holds_what_is_logged_and_nothing_else(tmp_path):
    """A program with names that would be found in what W&B collects about it by itself."""
    script, key = tmp_path / "secret_script.py", "0123456789abcdef0123456789abcdef01234567"
    script.write_text("""
import numpy, wandb
from dip_lab.loggers.wandb_run import close_run, open_run
run = open_run("dip_lab", "offline", "cell", "group", "cell", "cell")
print("secret_output")
run.log({"loss": 1, "output": [wandb.Image(numpy.zeros((8, 8, 3), "uint8"))]})
run.log({"stopping": wandb.Table(columns=["rule"], data=[["wmv"]])})
close_run(run)
""")
    for line in ("git init -q", "git remote add origin https://example.org/secret_remote.git"):
        subprocess.run(line.split(), cwd=tmp_path, check=True)
    variables = environment() | {"HOME": str(tmp_path / "home"), "WANDB_API_KEY": key,
                                 "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, script], cwd=tmp_path, env=variables, check=True, timeout=60, capture_output=True)
    (run,) = tmp_path.glob("cell/wandb/offline-run-*")
    files = [path.relative_to(run / "files").parts[:2] for path in run.glob("files/**/*") if path.is_file()]
    assert sorted(files) == [("media", "images"), ("media", "table")]  # no metadata, no requirements, no output
    (path,) = run.glob("*.wandb")
    kept = list(records(path))
    assert {record.WhichOneof("record_type") for record in kept} <= {
        "header", "run", "telemetry", "metric", "history", "summary", "files", "artifact", "exit"}
    (record,) = (record.run for record in kept if record.WhichOneof("record_type") == "run")
    assert (record.host, record.git.remote_url, record.git.commit) == ("", "", "")
    assert b"secret_" not in path.read_bytes()
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes(), file


def test_a_sweep_ends_with_one_run_that_has_its_table(command):
    for _ in range(2):  # the second time nothing is fitted, and the same run is reported
        code, said = command(*TINY, "-m", "logger=wandb", "seed=0,1", "net=skip_narrow")
        assert code == 0, said
    group = Path("outputs/denoise")
    paths = list(group.glob("wandb/offline-run-*/*.wandb"))
    assert len(paths) == 2 and {path.name for path in paths} == {"run-denoise-summary.wandb"}
    for path in paths:
        (run,) = (record.run for record in records(path) if record.WhichOneof("record_type") == "run")
        assert (run.run_id, run.display_name, run.run_group, run.job_type) == (
            "denoise-summary", "denoise-summary", "denoise", "summary")
        (file,) = path.parent.glob("files/media/table/summary_*.json")
        table = json.loads(file.read_text())
        columns, rows = read_table(group / "summary.csv")
        assert table["columns"] == columns and table["data"] == rows
        shown = [dict(zip(columns, row, strict=True)) for row in rows]
        results = [json.loads((group / row["cell"] / "result.json").read_text()) for row in shown]
        for key in ("psnr", "seed", "net", "baseline", "iterations"):
            assert [row[key] for row in shown] == [result[key] for result in results]


@pytest.mark.parametrize("arguments", [("logger=wandb", "iterations=-1"), ("logger=none",), ("logger=csv",)])
def test_a_sweep_without_a_score_or_a_tracker_ends_well(arguments, command):
    code, said = command(*TINY, "-m", "seed=0,1", *arguments)
    assert code == int("iterations=-1" in arguments) and "Weights & Biases" not in said
    assert len(list(Path("outputs/denoise").glob("wandb/offline-run-*"))) == int("logger=wandb" in arguments)


def test_a_disabled_sweep_leaves_no_run(command, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert command(*TINY, "-m", "logger=wandb", "seed=0,1")[0] == 0
    assert not list(Path("outputs").glob("**/*run-*"))


def test_a_table_has_numbers_where_a_whole_column_is_numbers(tmp_path):
    (tmp_path / "summary.csv").write_text("picture,seed,psnr,error\n0801,0,31.5,\n0802,1,,\"no, space\"\n")
    assert read_table(tmp_path / "summary.csv") == (
        ["picture", "seed", "psnr", "error"], [["0801", 0, 31.5, None], ["0802", 1, None, "no, space"]])


def test_only_wandb_adds_to_the_end_of_a_sweep():
    callbacks = {logger: compose([f"logger={logger}"]).hydra.callbacks.summary._target_
                 for logger in ("wandb", "none", "csv", "tensorboard")}
    assert callbacks.pop("wandb") == "dip_lab.loggers.sweep_table.SweepTable"
    assert set(callbacks.values()) == {"dip_lab.sweep.SweepSummary"}


def test_what_hydra_imports_for_a_sweep_is_light():
    heavy = "{'torch', 'pytorch_lightning', 'numpy', 'matplotlib', 'wandb', 'PIL'}"
    check = f"import sys, dip_lab.loggers.sweep_table; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("logger", sorted({path.stem for path in LOGGERS.glob("*.yaml")} - {"wandb"}))
def test_the_other_loggers_run(logger, command):
    assert command(*TINY, f"logger={logger}")[0] == 0
    see_what_is_logged(logger)


def test_several_loggers_at_once(command):
    assert command(*TINY, "logger=[tensorboard,csv]")[0] == 0
    for logger in ("tensorboard", "csv"):
        see_what_is_logged(logger)


@pytest.mark.parametrize("arguments", [["logger=null"], ["-m", "logger=null", "regularizer=null"]])
def test_null_is_none(arguments, command):
    code, said = command(*TINY, *arguments)
    assert code == 0 and not list(Path("outputs").glob("*/*/wandb")), said
    assert command(*TINY, "logger=none")[1].startswith("done before")


def see_what_is_logged(logger):
    (folder,) = Path("outputs").glob("*/denoise-*")
    assert len(history_rows(folder)) == 3
    if logger == "csv":
        with open(folder / "csv" / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["psnr"]) for row in rows] == [float(row["psnr"]) for row in history_rows(folder)]
    if logger == "tensorboard":
        assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
