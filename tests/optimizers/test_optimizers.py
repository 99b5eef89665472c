from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dip_lab.compose import compose

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def load(path):
    """The node of one YAML, in a config with the values that it refers to."""
    node = OmegaConf.load(path)
    node.pop("defaults", None)  # Hydra's, which takes it out itself
    return OmegaConf.create({"net": {"lr": 0.02}, "seed": 0, "optimizer": node}).optimizer


@pytest.mark.parametrize("path", sorted((CONFIGS / "optimizer").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_optimizer_lowers_a_quadratic(path):
    weights = torch.nn.Parameter(torch.tensor([1.0, -0.7, 0.4]))
    optimizer = instantiate(load(path))([weights])
    scale = torch.tensor([1.0, 3.0, 0.5])

    def loss():
        optimizer.zero_grad()
        value = (scale * weights.square()).sum()
        value.backward()
        return value

    before = loss().item()
    for _ in range(120):
        optimizer.step(loss)
    assert loss().item() < 0.8 * before


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_takes_the_step_of_the_network(name):
    config = load(CONFIGS / "optimizer" / f"{name}.yaml")
    assert instantiate(config)([torch.nn.Parameter(torch.ones(1))]).defaults["lr"] == 0.02


@pytest.mark.parametrize("group", ["stopping", "average"])
def test_every_yaml_of_the_group_instantiates(group):
    paths = sorted((CONFIGS / group).glob("*.yaml"))
    assert paths
    for path in paths:
        config = compose([f"{group}={path.stem}"])[group]
        made = instantiate(config)
        assert f"{type(made).__module__}.{type(made).__name__}" == config._target_
        assert path.stem.startswith(made.__class__.__module__.rsplit(".", 1)[1])  # ema_short is an ema
        assert path.read_text().startswith("# ")
