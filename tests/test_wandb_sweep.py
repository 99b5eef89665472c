"""scripts/wandb_sweep.yaml: what `wandb agent` runs from it, without W&B's server."""

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps import utils
from wandb.sdk.lib import config_util

from dip_lab.compose import compose

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "scripts" / "wandb_sweep.yaml"
SHORT = ["device=cpu", "net.width=4", "net.depth=2", "data.size=16", "iterations=4", "seed=3"]


def sampled(spec, rng):
    if spec["distribution"] == "log_uniform_values":
        return math.exp(rng.uniform(math.log(spec["min"]), math.log(spec["max"])))
    assert spec["distribution"] == "uniform"
    return rng.uniform(spec["min"], spec["max"])


@pytest.fixture
def search():
    return yaml.safe_load(FILE.read_text())


def command_of(search, values):
    """The command line as wandb.wandb_agent.Agent._command_run builds it, with this Python."""
    known = utils.create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    known |= {"env": ["/usr/bin/env"], "interpreter": [sys.executable], "program": [str(ROOT / search["program"])]}
    line = []
    for part in utils.create_sweep_command(list(search["command"])):
        line += known[part[2:-1]] if part.startswith("${") else [part]
    return line


def test_any_sampled_values_make_a_config(search):
    assert search["metric"] == {"name": "psnr", "goal": "maximize"} and (ROOT / search["program"]).is_file()
    rng = random.Random(0)
    for values in [{key: spec[end] for key, spec in search["parameters"].items()} for end in ("min", "max")] + [
            {key: sampled(spec, rng) for key, spec in search["parameters"].items()} for _ in range(3)]:
        line = command_of(search, values)
        cfg = compose(line[3:])
        assert (cfg.optimizer.lr, cfg.latent.jitter) == (values["optimizer.lr"], values["latent.jitter"])
        assert cfg.logger.wandb.mode == "online" and cfg.rerun


@pytest.mark.slow
def test_a_fit_under_an_agent_is_the_agents_run(search, tmp_path):
    values = {key: sampled(spec, random.Random(1)) for key, spec in search["parameters"].items()}
    values["iterations"], values["seed"] = 4, 3  # as a search over a key of the config's first level
    parameters = tmp_path / "wandb" / "sweep-sweep123" / "config-agent456.yaml"
    config_util.save_config_file_from_dict(str(parameters), {key: {"value": value} for key, value in values.items()})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_SWEEP_ID": "sweep123", "WANDB_RUN_ID": "agent456", "WANDB_PROJECT": "a_project",
                    "WANDB_ENTITY": "someone", "WANDB_SWEEP_PARAM_PATH": str(parameters), "WANDB_MODE": "offline"}
    search["command"] = [part for part in search["command"] if part.split("=")[0] not in ("data.size", "iterations")]
    ended = subprocess.run([*command_of(search, values), *SHORT[:-2]], cwd=tmp_path, env=environment, text=True,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=100)
    assert ended.returncode == 0 and ended.stderr == ""
    (folder,) = tmp_path.glob("outputs/wandb_sweep/*")
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "done" and result["seed"] == 3
    (path,) = folder.glob("wandb/offline-run-*-agent456/run-agent456.wandb")
    assert not any(word in ended.stdout for word in ("Ignoring", "locked", "WARNING", "Weights & Biases"))
