"""Sweeps that survive failures, kills, and other launches at the same time."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from dip_lab import experiment, sweep
from dip_lab.runs.claims import LOCK, is_claimed
from dip_lab.runs.files import write_json

RUN = Path(__file__).resolve().parents[1] / "run.py"
TINY = ["logger=none", "iterations=3", "log_every=1", "device=cpu", "net=skip_narrow", "net.width=4", "net.depth=2",
        "data.size=16", "threads=1"]


def results(folder: Path = Path("outputs")) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/*/result.json")}


def comparable(result: dict) -> dict:
    """What two computations of one cell must agree in, bit for bit."""
    measured = ("seconds", "seconds_per_iteration", "peak_memory_mb", "guard_events", "overrides")
    return {key: value for key, value in result.items() if key not in measured}


def last_line(said: str) -> str:
    return [line for line in said.splitlines() if " skipped, " in line][-1]


# What fails


def test_what_fails_at_the_end_of_a_sweep_shows_and_the_rest_is_written(command, monkeypatch):
    def fails(group):
        raise OSError(28, "No space left on device", str(group / "summary.csv"))

    monkeypatch.setattr(sweep, "summarise", fails)
    code, said = command("-m", "data.size=16", "baseline=median", "logger=none")
    assert code == 1 and "Traceback" not in said
    assert last_line(said).startswith("1 done, 0 skipped, 0 failed")
    (line,) = [line for line in said.splitlines() if "the end of the sweep failed" in line]
    assert line.endswith("outputs/denoise/summary.csv: No space left on device")
    assert Path("outputs/denoise/report.html").exists()
    assert command("data.size=16", "baseline=median", "logger=none")[0] == 0


@pytest.mark.slow
def test_a_failed_cell_is_tried_again_only_when_asked(command):
    arguments = ("-m", *TINY, "task=super_resolution", "task.factor=3,2")
    code, said = command(*arguments)
    assert code == 1 and last_line(said).startswith("1 done, 0 skipped, 1 failed")
    (failed,) = [path for path in Path("outputs").glob("*/*") if (path / "error.txt").exists()]
    assert "Traceback" in (failed / "error.txt").read_text()
    assert "task.factor=3: choose 2, 4 or 8" in (failed / "error.txt").read_text()
    before = (failed / "result.json").stat().st_mtime_ns
    code, said = command(*arguments)
    assert code == 1 and last_line(said).startswith("0 done, 1 skipped, 1 failed")
    assert (failed / "result.json").stat().st_mtime_ns == before
    code, said = command(*arguments, "retry_failed=true")
    assert code == 1 and "choose 2, 4 or 8" in said
    assert (failed / "result.json").stat().st_mtime_ns > before


def test_a_single_run_tries_a_failed_cell_again_and_forgets_the_error(command, monkeypatch):
    def broken(*arguments):
        raise ValueError("no such luck")

    with monkeypatch.context() as patched:
        patched.setattr(experiment, "run", broken)
        assert command(*TINY) == (2, "no such luck\n")
    (folder,) = Path("outputs").glob("*/*")
    assert (folder / "error.txt").exists()
    assert command(*TINY)[0] == 0 and not (folder / "error.txt").exists()
    (result,) = results().values()
    assert result["status"] == "done" and result["error"] is None


@pytest.mark.slow
def test_one_raises_one_runs_out_of_memory_one_is_hostile_one_diverges_and_the_rest_are_done(command, monkeypatch):
    run = experiment.run

    def broken(cfg, *rest):
        if cfg.seed == 1:
            raise RuntimeError("a bug")
        return run(cfg, *rest)

    monkeypatch.setattr(experiment, "run", broken)
    code, said = command("-m", *TINY, "net.width=4,1000000000", "seed=0,1", "name=mixed", "task.sigma=25,nan")
    assert code == 1 and last_line(said).startswith("1 done, 0 skipped, 7 failed"), said
    errors = [result["error"] for result in results().values() if result["status"] == "failed"]
    assert any(error.startswith("out of memory: ") and "smaller data.size" in error for error in errors), errors
    assert any(error == "a bug" for error in errors) and any("task.sigma" in error for error in errors)
    page = Path("outputs/mixed/report.html").read_text()
    assert "a bug" in page and "out of memory" in page and "task.sigma" in page
    code, said = command("-m", *TINY, "optimizer.lr=0.01,1e30", "iterations=12", "callbacks.guard.every=1",
                         "callbacks.guard.max_events=2", "name=diverged")
    assert code == 1 and last_line(said).startswith("1 done, 0 skipped, 1 failed")
    (lost,) = [path for path in Path("outputs/diverged").glob("*/error.txt")]
    assert "not finite" in lost.read_text() and (lost.parent / "dip_denoised.png").exists()


def test_what_a_cell_overrode_is_in_its_result(command):
    command("-m", *TINY, "optimizer.lr=0.01,0.02")
    found = results().values()
    assert {result["overrides"]["optimizer.lr"] for result in found} == {0.01, 0.02}
    assert {result["config"]["optimizer"]["lr"] for result in found} == {0.01, 0.02}
    assert all(result["overrides"]["net"] == "skip_narrow" for result in found)


def test_cells_that_are_the_same_are_computed_once(command):
    code, said = command("-m", "baseline=median", *TINY, "net.width=4,8")
    assert code == 0 and last_line(said).startswith("1 done, 0 skipped, 0 failed")


@pytest.mark.filterwarnings("ignore:\\s*'hydra/launcher/")
def test_a_launcher_or_a_search_without_its_packages(command, monkeypatch):
    plugins = Plugins.instance()
    known = {name: plugin for name, plugin in plugins.class_name_to_class.items() if "joblib" not in name}
    monkeypatch.setattr(plugins, "class_name_to_class", known)
    code, said = command("-m", *TINY, "hydra/launcher=joblib")
    assert (code, said) == (2, "this launcher needs extra packages: pip install -e '.[launchers]'\n")
    repository = ConfigStore.instance().repo["hydra"]["sweeper"]
    monkeypatch.setattr(ConfigStore.instance(), "repo", {**ConfigStore.instance().repo, "hydra": {
        **ConfigStore.instance().repo["hydra"],
        "sweeper": {name: node for name, node in repository.items() if name != "optuna.yaml"}}})
    code, said = command("-m", *TINY, "hydra/sweeper=optuna")
    assert (code, said) == (2, "hydra/sweeper=optuna needs extra packages: pip install -e '.[search]'\n")


# The distribution of cells, with launchers that the tests control


def cell(tmp_path: Path, name: str, **result) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    if result:
        write_json(folder / "result.json", result)
    return folder


def compute(cells: list[Path], launch, **options) -> list[tuple[str, str]]:
    sweep.ended.clear()
    given = {"rerun": False, "retry_failed": False, "at_once": None} | options
    sweep.compute({folder: [folder.name] for folder in cells}, launch, **given)
    return [(status, folder.name) for status, folder in sweep.ended]


def doing(tmp_path: Path, launched: list, status: str = "done"):
    def launch(batch, initial_job_idx):
        launched.append([overrides[0] for overrides in batch])
        for overrides in batch:
            write_json(tmp_path / overrides[0] / "result.json", {"status": status})

    return launch


def test_only_what_is_left_is_launched(tmp_path):
    cells = [cell(tmp_path, "a", status="done"), cell(tmp_path, "b", status="failed"),
             cell(tmp_path, "c", status="interrupted"), cell(tmp_path, "d")]
    launched = []
    assert compute(cells, doing(tmp_path, launched)) == [
        ("skipped", "a"), ("failed", "b"), ("done", "c"), ("done", "d")]
    assert launched == [["c", "d"]]


def test_rerun_and_retry(tmp_path):
    cells = [cell(tmp_path, "a", status="done"), cell(tmp_path, "b", status="failed")]
    launched = []
    assert compute(cells, doing(tmp_path, launched), retry_failed=True) == [("skipped", "a"), ("done", "b")]
    assert compute(cells, doing(tmp_path, launched), rerun=True, at_once=1) == [("done", "a"), ("done", "b")]
    assert launched == [["b"], ["a"], ["b"]]


def test_a_cell_of_another_process_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "POLL", 0.01)
    mine, theirs = cell(tmp_path, "mine"), cell(tmp_path, "theirs")
    launched = []
    with open(theirs / LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def end():
            write_json(theirs / "result.json", {"status": "done"})
            fcntl.flock(lock, fcntl.LOCK_UN)

        timer = threading.Timer(0.2, end)
        timer.start()
        assert compute([theirs, mine], doing(tmp_path, launched)) == [("done", "mine"), ("done", "theirs")]
        timer.join()
    assert launched == [["mine"]]


def test_a_cell_is_taken_over_when_its_owner_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "POLL", 0.01)
    theirs = cell(tmp_path, "theirs")
    holding = ("import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
               "print(flush=True); time.sleep(60)")
    owner = subprocess.Popen([sys.executable, "-c", holding, theirs / LOCK], stdout=subprocess.PIPE)
    owner.stdout.readline()
    assert is_claimed(theirs)
    timer = threading.Timer(0.2, owner.kill)
    timer.start()
    launched = []
    assert compute([theirs], doing(tmp_path, launched)) == [("done", "theirs")]
    assert launched == [["theirs"]] and owner.wait() == -signal.SIGKILL
    timer.join()
    owner.stdout.close()


def test_a_cell_that_kills_its_process_fails_alone(tmp_path):
    cells = [cell(tmp_path, name) for name in "abcd"]
    launched = []

    def launch(batch, initial_job_idx):
        names = [overrides[0] for overrides in batch]
        launched.append(names)
        for name in names[:2]:  # two at once
            write_json(tmp_path / name / "result.json", {"status": "unfinished", "seed": 7, "try": len(launched)})
        if "b" in names:
            raise RuntimeError("a worker was killed")
        for name in names:
            write_json(tmp_path / name / "result.json", {"status": "done"})

    assert sorted(compute(cells, launch)) == [("done", "a"), ("done", "c"), ("done", "d"), ("failed", "b")]
    assert launched == [["a", "b", "c", "d"], ["c", "d"], ["a"], ["b"]]
    result = json.loads((tmp_path / "b" / "result.json").read_text())
    assert "its process died" in result["error"] and result["seed"] == 7


def test_a_launcher_that_cannot_start_anything_is_not_asked_for_ever(tmp_path):
    def launch(batch, initial_job_idx):
        raise RuntimeError("no cluster")

    with pytest.raises(ValueError, match="started nothing"):
        compute([cell(tmp_path, "a")], launch)


# Real processes


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, RUN, "-m", *TINY, *arguments], cwd=folder, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


@pytest.mark.slow
def test_two_launches_side_by_side_share_the_work(tmp_path):
    arguments = ("seed=range(0,6)", "iterations=150")
    both = [start(tmp_path, *arguments) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    computed = [set(re.findall(r"^picture +(\S+)", text, re.MULTILINE)) for text in said]
    assert not computed[0] & computed[1] and len(computed[0] | computed[1]) == 6
    assert all(computed), "one of them did all the work"
    assert all(re.search(r"6 done|\d done, \d skipped", text) for text in said)
    assert {result["status"] for result in results(tmp_path / "outputs").values()} == {"done"}


@pytest.mark.slow
def test_killed_at_random_moments_a_sweep_ends_as_if_undisturbed(tmp_path):
    arguments = ("task=denoise,inpaint", "seed=0,1", "iterations=40", "name=all", "callbacks.checkpoint.seconds=0",
                 "callbacks.guard.every=5")
    alone = tmp_path / "alone"
    alone.mkdir()
    for wait in (5.0, 6.0, 7.0):
        process = start(tmp_path, *arguments)
        time.sleep(wait)
        process.kill()
        process.communicate()
    for folder in (tmp_path, alone):
        ended = start(folder, *arguments)
        said, _ = ended.communicate(timeout=300)
        assert ended.returncode == 0, said
    disturbed, undisturbed = results(tmp_path / "outputs"), results(alone / "outputs")
    assert disturbed.keys() == undisturbed.keys() and len(disturbed) == 4
    for name, result in undisturbed.items():
        assert comparable(disturbed[name]) == comparable(result)
        files = [folder / "outputs" / "all" / name / f"{result['answer']}.png" for folder in (tmp_path, alone)]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_ctrl_c_ends_a_sweep_in_order(launcher, tmp_path):
    arguments = ("seed=range(0,4)", "iterations=4000", f"hydra/launcher={launcher}", "callbacks.checkpoint.seconds=0.5")
    process = start(tmp_path, *arguments)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("outputs/*/*/checkpoints/*.pt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    found = results(tmp_path / "outputs")
    assert 1 <= len(found) < 4 and "done" not in {result["status"] for result in found.values()}
    kept = [bool(list(path.glob("*.pt"))) for path in tmp_path.glob("outputs/*/*/checkpoints")]
    assert all(kept) or any(kept) and launcher == "joblib", "joblib may kill a worker that writes its first one"
    assert not [path for path in tmp_path.rglob(".*.pt.*")] or launcher == "joblib", "a torn file"


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    """The growth of the process's memory from the 10th to the 30th cell, a third of which fail."""
    program = (
        "import resource, sys\n"
        "from dip_lab import cli, experiment\n"
        "run, seen = experiment.run, []\n"
        "def watched(cfg, *rest):\n"
        "    seen.append(int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20)\n"
        "    restoration = run(cfg, *rest)\n"
        "    if cfg.seed % 3 == 0: raise RuntimeError('a bug')\n"
        "    return restoration\n"
        "experiment.run = watched\n"
        f"sys.argv = ['run.py', '-m', *{TINY!r}, 'seed=range(0,30)', 'data.size=32']\n"
        "assert cli.main() == 1\n"
        "print('RSS', seen[10], seen[-1])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300,
                         env={**os.environ, "OMP_NUM_THREADS": "1"})
    early, late = map(float, re.search(r"RSS (\S+) (\S+)", ran.stdout).groups())
    assert late < early + 25, ran.stdout[-500:]


def test_several_sweeps_follow_each_other(command, tmp_path):
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "two.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      - {seed: '0,1', net.width: 4}\n      - {seed: 1, net.width: '4,6'}\n")
    code, said = command("-cd", "own", "experiment=two", *[each for each in TINY if each != "net.width=4"])
    assert code == 0 and last_line(said).startswith("3 done, 0 skipped, 0 failed")
    widths = sorted((result["seed"], result["config"]["net"]["width"]) for result in results().values())
    assert widths == [(0, 4), (1, 4), (1, 6)]
