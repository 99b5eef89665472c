import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from dip_lab import runs
from dip_lab.cli import config_folder
from dip_lab.experiment import fit

TINY = ("data.size=16", "net.width=4", "net.depth=2", "iterations=60", "log_every=5", "log_every_image=20",
        "logger=none", "device=cpu", "precision=float32", "callbacks.checkpoint.seconds=0", "stopping.window=10",
        "stopping.patience=15", "stopping.min_start=10")
FIXED = tuple(override for override in TINY if not override.startswith("stopping.")) + ("stopping=fixed",)


@pytest.fixture
def compose_tiny():
    """(config, choices) of a fit that takes a fraction of a second: `stopping=fixed` drops the rule's own keys."""

    def compose(*overrides):
        base = FIXED if "stopping=fixed" in overrides else TINY
        runs.register_resolvers()
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            cfg = hydra.compose("run", [*base, *overrides], return_hydra_config=True)
        choices = cfg.hydra.runtime.choices
        return cfg, choices

    return compose


@pytest.fixture
def fit_tiny(compose_tiny):
    """Fit it: `fit_tiny("average=none", folder=path, callbacks=[...])`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(*overrides, folder=None, picture=None, callbacks=()):
        cfg, choices = compose_tiny(*overrides)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        return fit(cfg, choices, folder, picture, callbacks)

    yield run
    torch.set_num_threads(threads)
