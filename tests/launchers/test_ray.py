"""A sweep on a Ray cluster of two nodes, one of which dies: nothing is lost, and no number changes."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "run.py"
SWEEP = ["-m", "seed=0,1,2,3", "logger=none", "iterations=100", "log_every=50", "device=cpu", "net=skip_narrow",
         "net.width=4", "net.depth=2", "data.size=16", "stopping=fixed", "callbacks.checkpoint.seconds=0"]
HEAD, SECOND = "127.0.0.2", "127.0.0.3"  # Ray takes 127.0.0.1 for the machine's address in its network


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HEAD, 0))
        return probe.getsockname()[1]


def wait_until(holds, process, seconds=60):
    """Wait until `holds()`; raises an error if the process ends before that, or the time is up."""
    limit = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path):
    """(environment of its users, process group of its second node); one core per node, in a folder of its own."""
    pytest.importorskip("ray")
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "OMP_"))}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),  # it listens to the network
                    "RAY_health_check_period_ms": "300"}  # it misses a node after 2 s instead of 15
    address = f"{HEAD}:{free_port()}"
    nodes = {"head": ["--head", f"--node-ip-address={HEAD}", f"--port={address.split(':')[1]}",
                      "--include-dashboard=false", f"--dashboard-port={free_port()}",
                      f"--ray-client-server-port={free_port()}"],
             "second": [f"--address={address}", f"--node-ip-address={SECOND}", "--include-log-monitor=false"]}
    common = ["--block", "--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats",
              "--dashboard-agent-listen-port=0"]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray"))  # a socket's path has 107 bytes
        for name, options in nodes.items():
            process = subprocess.Popen(
                [Path(sys.executable).with_name("ray"), "start", *options, *common, f"--temp-dir={folder}"],
                cwd=folder, env=environment, stdout=stack.enter_context((tmp_path / name).open("w")),
                stderr=subprocess.STDOUT, start_new_session=True)
            stack.callback(kill, process)
        wait_until(lambda: all("Ray runtime started" in (tmp_path / name).read_text() for name in nodes), process)
        yield {**environment, "RAY_ADDRESS": address}, process


def kill(process):
    """The whole group: `ray stop` would end the clusters of others too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def begun(folder):
    return {path.parent for path in folder.glob("outputs/*/*/checkpoints/*.pt")}


def results(folder):
    """{cell: what it computed} for the cells that are done."""
    varying = ("seconds", "seconds_per_iteration", "peak_memory_mb")
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("outputs/*/*/result.json")}
    return {cell: {key: value for key, value in result.items() if key not in varying}
            for cell, result in found.items() if result["status"] == "done"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="two nodes on one machine need two loopback addresses")
def test_the_cells_of_a_node_that_dies_are_continued_on_another(cluster, tmp_path):
    environment, second = cluster
    here, reference = tmp_path / "here", tmp_path / "reference"
    here.mkdir()
    reference.mkdir()
    with (tmp_path / "sweep.log").open("w") as log:
        sweep = subprocess.Popen([sys.executable, RUN, *SWEEP, "hydra/launcher=ray"], cwd=here, env=environment,
                                 stdout=log, stderr=subprocess.STDOUT)
        try:  # a node has room for one cell: two that are under way are on two nodes
            wait_until(lambda: len(begun(here)) - len(results(here)) == 2, sweep)
            kill(second)
            assert sweep.wait(120) == 0, (tmp_path / "sweep.log").read_text()
        finally:
            sweep.kill()
            sweep.wait()
    subprocess.run([sys.executable, RUN, *SWEEP], cwd=reference, env={**environment, "OMP_NUM_THREADS": "1"},
                   check=True, capture_output=True)
    assert len(results(here)) == 4
    assert results(here) == results(reference)
