"""joblib and submitit_local, for real, on tiny cells."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "run.py"
TINY = ["logger=none", "iterations=5", "log_every=1", "device=cpu", "net=skip_narrow", "net.width=4", "net.depth=2",
        "data.size=16", "threads=1", "name=sweep"]
pytestmark = pytest.mark.slow


def sweep(folder: Path, launcher: str, *arguments: str) -> tuple[int, str]:
    folder.mkdir(exist_ok=True)
    ran = subprocess.run([sys.executable, RUN, "-m", f"hydra/launcher={launcher}", *TINY, *arguments], cwd=folder,
                         capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return ran.returncode, ran.stdout + ran.stderr


def scores(folder: Path) -> dict[str, tuple]:
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("outputs/sweep/*/result.json")}
    return {name: (result["status"], result.get("psnr")) for name, result in found.items()}


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("basic")
    code, said = sweep(folder, "basic", "seed=0,1,2")
    assert code == 0, said
    return scores(folder)


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_the_same_numbers_as_one_after_the_other(launcher, basic, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher")
    code, said = sweep(tmp_path, launcher, "seed=0,1,2")
    assert code == 0 and "3 done, 0 skipped, 0 failed" in said and "Warning" not in said, said
    assert scores(tmp_path) == basic
    assert (tmp_path / "outputs/sweep/report.html").exists()
    code, said = sweep(tmp_path, launcher, "seed=0,1,2")
    assert code == 0 and "0 done, 3 skipped, 0 failed" in said


def test_a_cell_that_fails_and_one_whose_process_dies(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "killer.py").write_text(
        "import os, signal\n"
        "from dip_lab.nets.skip import Skip\n"
        "class Killer(Skip):\n"
        "    def __init__(self, *arguments, **options):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DIP_LAB_TARGETS", "killer")
    code, said = sweep(tmp_path, "joblib", "net._target_=dip_lab.nets.skip.Skip,killer.Killer", "task.sigma=25,-1")
    assert code == 1 and "1 done, 0 skipped, 3 failed" in said, said
    errors = [json.loads(path.read_text()).get("error") or "" for path in tmp_path.glob("outputs/sweep/*/result.json")]
    assert sum("its process died" in error for error in errors) == 1
    assert sum("task.sigma" in error for error in errors) == 2
