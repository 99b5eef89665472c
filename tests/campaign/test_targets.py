"""Configs that would run code, write or remove files: none of them has an effect."""

import json
import sys
from pathlib import Path

import pytest
from campaign.isolated import Ended, isolated

from dip_lab import cli

pytestmark = pytest.mark.campaign
TINY = ("data.size=16", "iterations=2", "log_every=1", "logger=none", "threads=1", "net.width=4")
TOUCH = "touch MADE"
CODE = "open('MADE','w').close()"
# {name: node}; each would make the file MADE, or remove or change the file VICTIM.
NODES = {
    "os.system": {"_target_": "os.system", "command": TOUCH},
    "os.popen": {"_target_": "os.popen", "cmd": TOUCH},
    "os.remove": {"_target_": "os.remove", "path": "VICTIM"},
    "os.rename": {"_target_": "os.rename", "src": "VICTIM", "dst": "MADE"},
    "os.makedirs": {"_target_": "os.makedirs", "name": "MADE"},
    "posix.mkdir": {"_target_": "posix.mkdir", "path": "MADE"},
    "subprocess.run": {"_target_": "subprocess.run", "args": ["touch", "MADE"]},
    "subprocess.Popen": {"_target_": "subprocess.Popen", "args": ["touch", "MADE"]},
    "subprocess.check_output": {"_target_": "subprocess.check_output", "_args_": [["touch", "MADE"]]},
    "shutil.rmtree": {"_target_": "shutil.rmtree", "path": "."},
    "shutil.copy": {"_target_": "shutil.copy", "src": "VICTIM", "dst": "MADE"},
    "shutil.move": {"_target_": "shutil.move", "src": "VICTIM", "dst": "MADE"},
    "builtins.exec": {"_target_": "builtins.exec", "_args_": [CODE]},
    "builtins.eval": {"_target_": "builtins.eval", "_args_": [CODE]},
    "builtins.open": {"_target_": "builtins.open", "file": "MADE", "mode": "w"},
    "io.open": {"_target_": "io.open", "file": "VICTIM", "mode": "w"},
    "pathlib.Path.touch": {"_target_": "pathlib.Path.touch", "_args_": ["MADE"]},
    "runpy.run_path": {"_target_": "runpy.run_path", "path_name": "evil.py"},
    "importlib.import_module": {"_target_": "importlib.import_module", "name": "evil"},
    "code.interact": {"_target_": "code.InteractiveInterpreter.runsource", "_args_": [None, CODE]},
    "timeit.timeit": {"_target_": "timeit.timeit", "stmt": CODE, "number": 1},
    "pty.spawn": {"_target_": "pty.spawn", "argv": ["touch", "MADE"]},
    "pickle.loads": {"_target_": "pickle.loads", "_args_": ["cos\nsystem\n(S'touch MADE'\ntR."]},
    "logging.FileHandler": {"_target_": "logging.FileHandler", "filename": "MADE"},
    "numpy.save": {"_target_": "numpy.save", "file": "MADE", "arr": [1]},
    "numpy.f2py": {"_target_": "numpy.distutils.exec_command.exec_command", "command": TOUCH},
    "PIL.Image.open": {"_target_": "PIL.Image.Image.save", "_args_": ["MADE"]},
    "torch.utils.collect_env.run": {"_target_": "torch.utils.collect_env.run", "command": TOUCH},
    "torch.os.system": {"_target_": "torch.os.system", "command": TOUCH},
    "torch.load": {"_target_": "torch.load", "f": "evil.pt", "weights_only": False},
    "torch.save": {"_target_": "torch.save", "obj": [1], "f": "MADE"},
    "torch.serialization.save": {"_target_": "torch.serialization.save", "obj": [1], "f": "VICTIM"},
    "torch.hub.load": {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "evil", "source": "local"},
    "torch.hub.download": {"_target_": "torch.hub.download_url_to_file", "url": "file:VICTIM", "dst": "MADE"},
    "torch.hub.set_dir": {"_target_": "torch.hub.load_state_dict_from_url", "url": "file:VICTIM", "model_dir": "MADE"},
    "torch.fx.exec": {"_target_": "torch.fx.graph_module._exec_with_source", "src": CODE, "globals": {}},
    "torch.fx.GraphModule": {"_target_": "torch.fx.GraphModule", "root": {}, "graph": {}},
    "torch.distributed.run": {"_target_": "torch.distributed.run.main", "args": ["--no-python", "touch", "MADE"]},
    "torch.jit.load": {"_target_": "torch.jit.load", "f": "evil.pt"},
    "torch.package": {"_target_": "torch.package.PackageImporter", "file_or_buffer": "evil.pt"},
    "torch.PackageExporter": {"_target_": "torch.package.PackageExporter", "f": "MADE"},
    "torch.cpp": {"_target_": "torch.utils.cpp_extension.load_inline", "name": "x", "cpp_sources": "", "functions": []},
    "torch.FileStore": {"_target_": "torch.distributed.FileStore", "_args_": ["MADE", 1]},
    "torch.tensorboard": {"_target_": "torch.utils.tensorboard.SummaryWriter", "log_dir": "MADE"},
    "torch.multiprocessing": {"_target_": "torch.multiprocessing.spawn", "fn": "os.system", "args": [TOUCH]},
    "torch.nn.Module.eval": {"_target_": "torch.nn.modules.module.sys.modules.__setitem__", "_args_": ["os", 1]},
    "torch.tool": {"_target_": "torch.utils.bundled_inputs.parse", "code": CODE},
    "lightning.cli": {"_target_": "pytorch_lightning.cli.LightningCLI", "run": True},
    "lightning.callbacks": {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": "MADE"},
    "lightning.profiler": {"_target_": "pytorch_lightning.profilers.SimpleProfiler", "dirpath": "MADE"},
    "lightning.os": {"_target_": "pytorch_lightning.utilities.seed.os.system", "command": TOUCH},
    "dip_lab.Path": {"_target_": "dip_lab.runs.files.Path.write_text", "_args_": ["VICTIM", "gone"]},
    "dip_lab.write_atomic": {"_target_": "dip_lab.runs.files.write_atomic", "path": "MADE", "data": "x"},
    "dip_lab.start_over": {"_target_": "dip_lab.runs.ours.start_over", "folder": ".", "answer": "VICTIM"},
    "dip_lab.shutil": {"_target_": "dip_lab.runs.ours.shutil.rmtree", "path": "."},
    "dip_lab.os": {"_target_": "dip_lab.build.os.system", "command": TOUCH},
    "dip_lab.main": {"_target_": "dip_lab.cli.main"},
    "dip_lab.download": {"_target_": "dip_lab.data.registry.download", "entry": {}},
    "dip_lab.subprocess": {"_target_": "dip_lab.video.film.subprocess.run", "args": ["touch", "MADE"]},
    "dip_lab.scripts": {"_target_": "scripts.table.main", "arguments": []},
    "hydra.call": {"_target_": "hydra.utils.call", "config": {"_target_": "os.system", "command": TOUCH}},
    "hydra.get_method": {"_target_": "hydra.utils.get_method", "path": "os.system"},
    "omegaconf.save": {"_target_": "omegaconf.OmegaConf.save", "config": {}, "f": "MADE"},
    "wandb.init": {"_target_": "wandb.init", "dir": "MADE"},
    "functools.partial": {"_target_": "functools.partial", "_args_": ["os.system", TOUCH]},
    "interpolated": {"_target_": "${oc.decode:'\"os.system\"'}", "command": TOUCH},
    "own package": {"_target_": "evil.Net"},
}
# {name: node `hydra`}; Hydra itself would run these, before dip_lab reads anything.
OF_HYDRA = {
    "callback": {"callbacks": {"x": {"_target_": "os.system", "command": TOUCH}}},
    "callback in a list": {"callbacks": {"x": {"_target_": "dip_lab.sweep.SweepSummary",
                                               "y": [{"_target_": "os.system", "command": TOUCH}]}}},
    "callback by reference": {"callbacks": {"x": "${evil}"}},
    "handler": {"job_logging": {"handlers": {"x": {"()": "os.system", "command": TOUCH}}}},
    "handler's class": {"hydra_logging": {"handlers": {"x": {"class": "logging.os.system", "command": TOUCH}}}},
    "formatter": {"job_logging": {"formatters": {"x": {"()": "subprocess.check_output", "args": ["touch", "MADE"]}}}},
    "filter": {"job_logging": {"filters": {"x": {"()": "os.system", "command": TOUCH}}}},
    "sweeper": {"sweeper": {"_target_": "os.system", "command": TOUCH}},
    "launcher": {"launcher": {"_target_": "os.system", "command": TOUCH}},
    "opened": {"job": {"env_set": {"DIP_LAB_TARGETS": "os"}}},
    "preload": {"job": {"env_set": {"LD_PRELOAD": "evil.so"}}},
    "log outside": {"job": {"name": "../../MADE"}},
    "config outside": {"output_subdir": "../../../MADE"},
}


def prepare(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "VICTIM").write_text("mine")
    (folder / "evil.py").write_text("open('MADE', 'w').close()\nclass Net: pass\n")
    (folder / "hubconf.py").write_text("open('MADE', 'w').close()\ndef evil(): pass\n")
    (folder / "evil.pt").write_bytes(b"cos\nsystem\n(S'touch MADE'\ntR.")


def effect(folder: Path, ended: Ended) -> str | None:
    """What a config did that it must not do; a run refuses it, a sweep records each of its cells as failed."""
    made = [str(path) for path in folder.parent.rglob("MADE*")]
    if made:
        return f"made {made}"
    if not (folder / "VICTIM").is_file() or (folder / "VICTIM").read_text() != "mine":
        return "the file is not as it was"
    if "Traceback" in ended.said or ended.code is None:
        return f"code {ended.code}: {ended.said[-200:]}"
    said = "_target_" in ended.said or "hydra." in ended.said
    return None if ended.code in (1, 2) and said else f"not refused for it: {ended.said[-200:]}"


@pytest.mark.parametrize("way", ["the network", "an operator", "a shared file", "a sweep"])
def test_hostile_targets(way, tally, tmp_path):
    assert len(NODES) >= 59
    count = tally(f"a config that names code, as {way}")
    for number, (name, node) in enumerate(NODES.items()):
        folder = tmp_path / f"{number}" / "here"
        prepare(folder)
        (folder / "cfg" / "experiment").mkdir(parents=True)
        shared = folder / "cfg" / "experiment" / "evil.yaml"
        shared.write_text("# @package _global_\ndefaults:\n  - override /net: skip\n"
                          "net: " + json.dumps({**node, "widths": [4]}))
        literal = json.dumps(node) if "$" in name else _override(node)
        arguments = {"the network": [f"++net.norm={literal}"],
                     "an operator": ["task=custom", f"task.operator.module={literal}"],
                     "a shared file": ["-cd", "cfg", "experiment=evil"],
                     "a sweep": ["-m", "-cd", "cfg", "experiment=evil", "seed=0,1"]}[way]

        def run(arguments=arguments) -> int:
            sys.path.insert(0, "")
            sys.argv = ["run.py", *TINY[:-1], *arguments]
            return cli.main()

        count.add(name, effect(folder, isolated(run, folder)))
    count.conclude()


@pytest.mark.parametrize("mode", ["a run", "a sweep", "a sweep over experiments"])
def test_hostile_settings_of_hydra(mode, tally, tmp_path):
    count = tally(f"code in the node hydra, in {mode}")
    for number, (name, node) in enumerate(OF_HYDRA.items()):
        folder = tmp_path / f"{number}" / "here"
        prepare(folder)
        (folder / "cfg" / "experiment").mkdir(parents=True)
        (folder / "cfg" / "experiment" / "evil.yaml").write_text(
            "# @package _global_\n"
            f"evil: {json.dumps({'_target_': 'os.system', 'command': TOUCH})}\nhydra: {json.dumps(node)}\n")
        (folder / "cfg" / "experiment" / "good.yaml").write_text("# @package _global_\nseed: 3\n")
        arguments = {"a run": ["experiment=evil"], "a sweep": ["-m", "experiment=evil", "seed=0,1"],
                     "a sweep over experiments": ["-m", "experiment=good,evil"]}[mode]

        def run(arguments=arguments) -> int:
            sys.argv = ["run.py", *TINY, "-cd", "cfg", *arguments]
            return cli.main()

        count.add(name, effect(folder, isolated(run, folder)))
    count.conclude()


def _override(node: object) -> str:
    """A node as a value on the command line."""
    if isinstance(node, dict):
        return "{" + ",".join(f"{key}:{_override(value)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ",".join(map(_override, node)) + "]"
    if isinstance(node, str):
        return '"' + node.replace('"', '\\"') + '"'
    return json.dumps(node)
