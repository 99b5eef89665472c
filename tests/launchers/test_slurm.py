"""Cells through a real SLURM: one node on this machine, without systemd and without munge.

It only needs Debian's packages slurmctld, slurmd and slurm-client.
"""

import contextlib
import csv
import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATH = os.environ["PATH"] + ":/usr/sbin"  # where Debian has the daemons
MISSING = [name for name in ("slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name, path=PATH)]
pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"without {', '.join(MISSING)}")

ROOT = Path(__file__).resolve().parents[2]
# KillWait: between SIGTERM and SIGKILL. cred_expire, at least 5: a job put back in the queue waits that long.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=0
KillWait=3
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# The test sets its pace, not the machine, and it counts its iterations over all processes.
NET = """
import os
import time

from torch import nn


class Paced(nn.Sequential):
    stride, min_size = 1, 1

    def __init__(self, in_channels, out_channels):
        super().__init__(nn.Conv2d(in_channels, 4, 3, padding=1), nn.ReLU(),
                         nn.Conv2d(4, out_channels, 3, padding=1), nn.Sigmoid())

    def forward(self, z):
        time.sleep(float(os.environ["NAP"]))
        with open(os.environ["CALLS"], "a") as file:
            file.write(".")
        return super().forward(z)
"""
YAML = "# A network for a test\n_target_: paced.Paced\nlr: 0.01\n"
TINY = ("logger=none", "log_every=1", "device=cpu", "precision=float32", "data.size=16", "net=paced", "stopping=fixed",
        "callbacks.guard.every=5", "callbacks.checkpoint.seconds=1e6")  # checkpoints only where a signal asks for one
SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The environment in which sbatch finds the cluster; its daemons and jobs are always killed at the end."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(CONFIG.format(
        folder=folder, host=host, user=getpass.getuser(), ports=free_ports(2), cpus=len(os.sched_getaffinity(0))))
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf"), "OMP_NUM_THREADS": "1"}
    for name in ("HYDRA_FULL_ERROR", "WANDB_MODE"):
        environment.pop(name, None)
    daemons = []
    try:
        for command in (["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", host]):
            with open(folder / f"{command[0]}.log", "w") as log:
                daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        log = folder / "slurmctld.log"
        wait(lambda: "idle" in ask(environment, "sinfo", "-h", "-o", "%T"), 30, log.read_text)
        yield environment
    finally:
        kill_all(folder)
        for daemon in daemons:
            daemon.wait()


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def kill_all(folder):
    """Daemons, job scripts and tasks alike: whatever was started with this cluster's SLURM_CONF."""
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()

    def ours():
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # ended meanwhile, or another user's
                if mark in path.read_bytes().split(b"\0"):
                    yield int(path.parent.name)

    def none_left():
        for pid in ours():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not list(ours())

    wait(none_left, 20, lambda: "processes of the cluster are left")


def wait(condition, seconds, explain):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, explain()
        time.sleep(0.2)


def ask(environment, *command):
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30).stdout


@pytest.fixture
def start(cluster, tmp_path):
    """`start(nap, *overrides)`: run.py as a process, in an empty folder where `net=paced` is found."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "paced.yaml").write_text(YAML)
    (tmp_path / "paced.py").write_text(NET)
    more = {"PYTHONPATH": str(tmp_path), "DIP_LAB_TARGETS": "paced", "CALLS": str(tmp_path / "calls")}
    processes = []

    def run(nap, *overrides):
        command = [sys.executable, str(ROOT / "run.py"), "-cd", str(tmp_path), *TINY, *overrides]
        with open(tmp_path / f"run{len(processes)}.log", "w") as log:
            processes.append(subprocess.Popen(command, cwd=tmp_path, env={**cluster, **more, "NAP": str(nap)},
                                              stdout=log, stderr=log))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()
    ask(cluster, "scancel", "--user", getpass.getuser())


def only(paths):
    (path,) = paths
    return path


def logs(folder):
    """Everything that a test's runs and jobs printed, for the message of a failed assertion."""
    return "\n".join(path.read_text() for path in (*folder.glob("run*.log"), *folder.rglob(".submitit/*/*_log.*")))


def assert_as_left_alone(start, folder, iterations):
    """The cell equals, bit for bit, the one without SLURM; some iterations were lost, but it did not start over."""
    calls = (folder / "calls").stat().st_size
    assert start(0, "name=alone", f"iterations={iterations}").wait(120) == 0, logs(folder)
    alone = (folder / "calls").stat().st_size - calls
    cells = [only((folder / "outputs" / name).glob("*/result.json")).parent for name in ("slurm", "alone")]
    assert cells[0].name == cells[1].name  # the same experiment
    histories = [list(csv.DictReader((cell / "history.csv").read_text().splitlines())) for cell in cells]
    for row in (*histories[0], *histories[1]):
        del row["seconds"]
    assert histories[0] == histories[1] and len(histories[0]) == iterations
    pictures = [(cell / "dip_denoised.png").read_bytes() for cell in cells]
    assert pictures[0] == pictures[1]
    results = [json.loads((cell / "result.json").read_text()) for cell in cells]
    for key in ("status", "iterations", "psnr", "psnr_peak", "stop_reason"):
        assert results[0][key] == results[1][key]
    assert results[0]["status"] == "done"
    return calls - alone


@pytest.mark.slow
def test_two_cells(start, tmp_path):
    assert start(0, "-m", *SLURM, "name=slurm", "seed=0,1", "iterations=2").wait(120) == 0, logs(tmp_path)
    results = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/slurm/*/result.json")]
    assert sorted((result["seed"], result["status"], result["iterations"]) for result in results) == [
        (0, "done", 2), (1, "done", 2)]
    script = only(tmp_path.rglob(".submitit/*/*_submission.sh")).read_text()
    assert {"#SBATCH --array=0-1%2", "#SBATCH --requeue", "#SBATCH --cpus-per-task=1",
            "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK"} <= set(script.splitlines())


@pytest.mark.queue
def test_a_cell_that_exceeds_its_time_limit_goes_on_in_the_next_job(start, tmp_path):
    # SLURM looks every 30 s: at a limit of 60 s the warning comes when the job has run for 20 to 50 s. The fit takes
    # longer than any of that, so it ends only because it is continued.
    short = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=10")
    sweep = start(0.1, "-m", *SLURM, *short, "name=slurm", "iterations=550")
    assert sweep.wait(400) == 0, logs(tmp_path)
    log = only(tmp_path.rglob(".submitit/*/*_log.out")).read_text()
    requeued = len(set(re.findall(r"Requeued job \d+ \((\d+) remaining timeouts\)", log)))
    assert requeued >= 1, log
    assert list(tmp_path.glob("outputs/slurm/*/checkpoints/0*.pt"))  # saved at the warning: there is no other here
    lost = assert_as_left_alone(start, tmp_path, 550)
    assert lost <= 5 * requeued  # the last look at each picture is not a step


@pytest.mark.slow
def test_a_cell_that_is_requeued_goes_on(start, cluster, tmp_path):
    sweep = start(0.05, "-m", *SLURM, "name=slurm", "iterations=400")
    calls = tmp_path / "calls"
    wait(lambda: calls.exists() and calls.stat().st_size >= 200, 60, lambda: logs(tmp_path))
    job = only(tmp_path.glob("outputs/slurm/.submitit/*/*_submission.sh")).parent.name
    ask(cluster, "scontrol", "requeue", job)  # as a preemption: SIGTERM, and SIGKILL after KillWait
    assert sweep.wait(200) == 0, logs(tmp_path)
    lost = assert_as_left_alone(start, tmp_path, 400)
    assert 0 < lost <= 150, lost  # 4 s at most 20 iterations a second; starting over would lose 200
