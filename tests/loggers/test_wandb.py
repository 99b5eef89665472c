"""The trackers: what W&B holds on disk after an offline run, and that no tracker can end a fit."""

import csv
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

LOGGERS = Path(__file__).resolve().parents[2] / "configs" / "logger"
TINY = ["iterations=4", "log_every=2", "log_every_image=2", "device=cpu", "net.width=4", "net.depth=2", "data.size=16"]


def records(path: Path) -> Iterator[wandb_internal_pb2.Record]:
    """The records of a `.wandb` file: LevelDB's log format (blocks of 32 KiB) behind a header of 7 bytes."""
    data = path.read_bytes()
    assert data.startswith(b":W&B")
    position, record = 7, b""
    while position < len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
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
        assert run["group"] == "denoise" and set(run["tags"]) == {"denoise", "skip_narrow", "holdout"}
        assert run["config"]["seed"] == result["seed"] and run["config"]["task"]["answer"] == "dip_denoised"
        assert run["summary"]["psnr"] == result["psnr"] and run["summary"]["status"] == "done"
        assert run["exit"] == 0
        assert run["id"].endswith(result["config_hash"])


def test_the_variable_wandb_mode_wins(command, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    code, _ = command(*TINY, "logger=wandb", "logger.mode=offline")
    (folder,) = Path("outputs").glob("*/*")
    assert code == 0 and not list(folder.glob("wandb/*run-*")) and len(history_rows(folder)) == 3


def test_an_unknown_mode_is_refused(command):
    code, said = command(*TINY, "logger=wandb", "logger.mode=dryrun")
    assert code == 2 and said.startswith("logger.mode=dryrun") and "offline" in said


def test_a_wandb_that_does_not_start_costs_nothing(command, monkeypatch):
    def init(**settings):
        raise wandb.errors.CommError("no route\nto host")

    monkeypatch.setattr(wandb, "init", init)
    code, said = command(*TINY, "logger=wandb")
    (folder,) = Path("outputs").glob("*/*")
    assert code == 0 and "did not start (no route to host): history.csv has the curves" in said
    assert len(history_rows(folder)) == 3 and (folder / "result.json").exists()


def test_a_wandb_that_breaks_during_the_fit_costs_nothing(command, monkeypatch):
    class Broken:
        def __getattr__(self, name):
            if name in ("define_metric", "_label"):
                return lambda *arguments, **settings: None
            raise OSError("no space left")

    monkeypatch.setattr(wandb, "init", lambda **settings: Broken())
    code, said = command(*TINY, "logger=wandb")
    (folder,) = Path("outputs").glob("*/*")
    assert code == 0 and "no space left" in said and "did not close its run" in said
    assert len(history_rows(folder)) == 3 and (folder / "result.json").exists()


@pytest.mark.parametrize("logger", sorted({path.stem for path in LOGGERS.glob("*.yaml")} - {"wandb"}))
def test_the_other_loggers_run(logger, command):
    code, _ = command(*TINY, f"logger={logger}")
    (folder,) = Path("outputs").glob("*/*")
    assert code == 0 and len(history_rows(folder)) == 3
    if logger == "csv":
        with open(folder / "csv" / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["psnr"]) for row in rows] == [float(row["psnr"]) for row in history_rows(folder)]
    if logger == "tensorboard":
        assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
