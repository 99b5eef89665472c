import copy
import functools
import gc
import importlib.util
import logging
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the workers of pytest-xdist share the cores

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from shared import REASON

from dip_lab import cli, sweep
from dip_lab.compose import cell_at, compose
from dip_lab.experiment import run
from dip_lab.results.restoration import Restoration
from dip_lab.training import cli as training

TINY = ("data.size=16", "net.width=4", "net.depth=2", "iterations=60", "log_every=5", "log_every_image=20",
        "logger=none", "device=cpu", "precision=float32", "callbacks.checkpoint.seconds=0",
        "callbacks.guard.every=10", "stopping=wmv", "stopping.window=10", "stopping.patience=15",
        "stopping.min_start=10")


def pytest_collection_finish():
    """What is imported by now stays: otherwise each fit, which collects garbage first, looks at all of it."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Say how many tests did not run because there are no shared pictures next to this checkout."""
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if REASON in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests skipped: {REASON}")


@pytest.fixture
def one_thread():
    """Tiny pictures are faster on one thread, above all while other processes run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def compose_tiny(one_thread):
    """(config, choices) of a fit that takes a fraction of a second: another `stopping` drops the keys of wmv."""

    def compose(*overrides):
        cfg = copy.deepcopy(composed(overrides))
        return cfg, cfg.hydra.runtime.choices

    return compose


@functools.cache
def composed(overrides):
    other = any(re.match(r"stopping=(?!wmv)|optimizer=sgld", override) for override in overrides)
    base = [override for override in TINY if not (other and override.startswith("stopping"))]
    return compose([*base, *overrides])


@pytest.fixture
def fit_tiny(compose_tiny):
    """Fit it: `fit_tiny("average=none", folder=path, callbacks=[...])`. A picture is clean: the task adds noise."""

    def fit(*overrides, folder=None, picture=None, callbacks=()):
        cfg, _ = compose_tiny(*overrides)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        images = None if picture is None else replace(picture, clean=True)
        return run(cfg, cell_at(cfg, cfg.hydra, folder), images, callbacks)

    return fit


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, one_thread):
    """Runs `run.py` with arguments in this process, in an empty folder: (exit code, all it printed).

    It does not see the W&B settings of the person who tests, and draws no plots, which are slow and tested elsewhere.
    """
    monkeypatch.chdir(tmp_path)
    for key in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_DIR"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # main() sets it: it is reset afterwards
    monkeypatch.setattr(cli, "FULL_ERROR", False)
    for plot in ("curves", "panel"):
        monkeypatch.setattr(Restoration, plot, lambda self: b"")
    def main() -> int:
        sweep.ended.clear()
        sweep.failures.clear()
        return cli.main()

    return in_process(main, monkeypatch, capsys)


def in_process(main, monkeypatch, capsys):
    """Runs a command line with arguments in this process: (exit code, all it printed)."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None  # as in a fresh process
        try:
            code = main()
        except SystemExit as ended:
            code = ended.code
        finally:  # Hydra opens dip_lab.log and does not close it before the process ends
            for handler in set(root.handlers) - set(handlers):
                handler.close()
            root.handlers[:] = handlers
            root.setLevel(level)
            logging.captureWarnings(False)
            HydraConfig.instance().cfg = None
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


@pytest.fixture
def train(tmp_path, monkeypatch, capsys, one_thread):
    """Runs `scripts/train.py` with arguments in this process, in an empty folder: (exit code, all it printed)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def main() -> int:
        training.failed.clear()
        training.ended.clear()
        return training.main()

    return in_process(main, monkeypatch, capsys)


@pytest.fixture
def without_plots(monkeypatch):
    """Curves and panel are slow to draw, and tested elsewhere."""
    for plot in ("curves", "panel"):
        monkeypatch.setattr(Restoration, plot, lambda self: b"")


@pytest.fixture
def script_of(monkeypatch):
    """`script_of("table")`: scripts/table.py as a module; what it adds to the search path is forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "scripts" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
