import copy
import functools
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dip_lab.compose import compose
from dip_lab.instantiate import instantiate
from dip_lab.targets import check_hydra, located

HOSTILE = ["os.system", "torch.os.system", "torch.load", "torch.save", "torch.utils.collect_env.run", "torch.hub.load",
           "torch.jit.ScriptModule", "torch.FloatTensor", "torch.nn.functional.relu", "torch.package.PackageImporter",
           "pytorch_lightning.cli.LightningCLI", "pytorch_lightning.callbacks.ModelCheckpoint",
           "pytorch_lightning.seed_everything", "dip_lab.runs.files.Path.write_text", "dip_lab.runs.files.Path",
           "dip_lab.runs.ours.start_over", "dip_lab.build.os.system", "dip_lab.baselines.denoisers.np.save",
           "dip_lab.loggers.wandb.Path", "hydra.utils.call", "builtins.exec", "torch", "dip_lab", "torch.", "", "..",
           " ", 5, None, ["torch.nn.Conv2d"], {"_target_": "os.system"}]
composed = functools.cache(compose)
KINDS = ["torch.nn.Conv2d", "torch.optim.Adam", "torch.optim.lr_scheduler.StepLR", "pytorch_lightning.Trainer",
         "pytorch_lightning.loggers.CSVLogger", "dip_lab.nets.skip.Skip", "dip_lab.baselines.denoisers.median"]


@pytest.mark.parametrize("target", HOSTILE, ids=str)
def test_a_config_names_no_code(target):
    with pytest.raises(ValueError, match="_target_"):
        located(target)


@pytest.mark.parametrize("target", KINDS)
def test_a_config_names_classes_of_the_kinds_in_use(target):
    assert located(target).__name__ == target.rsplit(".", 1)[-1]


def test_only_what_the_user_names_is_open(monkeypatch):
    monkeypatch.setenv("DIP_LAB_TARGETS", "math, torch.fft")
    assert located("math.sqrt")(4) == 2 and located("torch.fft.fft2")
    with pytest.raises(ValueError, match="torch.load"):
        located("torch.load")
    with pytest.raises(ValueError, match="no such class or function"):
        located("math.nothing")


def test_a_nested_target_is_checked_before_anything_is_built(tmp_path):
    node = {"_target_": "torch.nn.ModuleList", "modules": [{"_target_": "pathlib.Path.touch", "_args_": ["made"]}]}
    with pytest.raises(ValueError, match="pathlib.Path.touch"):
        instantiate(node)
    assert not Path("made").exists()


@pytest.mark.parametrize("value", ["no", "off", "n", "false", 0, 1, None, [], 0.0])
def test_no_is_not_yes(value):
    node = {"_target_": "dip_lab.tasks.noise.Gaussian", "sigma": 25, "clip": value}
    with pytest.raises(ValueError, match="clip=.*: choose true or false"):
        instantiate(node)


def test_a_node_without_a_target_is_named():
    with pytest.raises(ValueError, match="latent has no _target_"):
        instantiate(compose(["~latent._target_"]).latent)


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher")
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_slurm"])
def test_the_settings_of_hydra_that_are_shipped_are_allowed(launcher):
    check_hydra(compose([f"hydra/launcher={launcher}"]).hydra)


@pytest.mark.parametrize("place, value, words", [
    ("callbacks.x", {"_target_": "os.system"}, "os.system"),
    ("callbacks.x", {"_target_": "dip_lab.sweep.SweepSummary", "y": [{"_target_": "os.system"}]}, "os.system"),
    ("callbacks.x", {"_target_": "hydra.utils.call"}, "hydra.utils.call"),
    ("sweeper._target_", "os.system", "os.system"),
    ("launcher._target_", "subprocess.run", "subprocess.run"),
    ("job_logging.handlers.x", {"()": "os.system"}, "os.system is not a handler"),
    ("hydra_logging.handlers.x", {"class": "logging.os.system"}, "is not a handler"),
    ("job.env_set", {"DIP_LAB_TARGETS": "os"}, "env_set.DIP_LAB_TARGETS"),
    ("job.env_set", {"LD_PRELOAD": "x.so"}, "env_set.LD_PRELOAD"),
    ("job.name", "../x", "hydra.job.name"),
    ("output_subdir", "../x", "hydra.output_subdir"),
])
def test_code_in_the_node_hydra_is_refused(place, value, words):
    node = copy.deepcopy(composed(())).hydra
    OmegaConf.update(node, place, value, merge=False, force_add=True)
    with pytest.raises(ValueError, match=words):
        check_hydra(node)


@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_a_shared_file_cannot_make_hydra_run_code(sweep, command):
    folder = Path("shared/experiment")
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text("# @package _global_\nhydra: {callbacks: {x: {_target_: pathlib.Path.touch}}}\n")
    code, said = command(*sweep, "-cd", "shared", "experiment=evil", "data.size=16")
    assert code == 2 and said.startswith("_target_ pathlib.Path.touch is outside") and len(said.splitlines()) == 1
    assert not Path("outputs").exists()
