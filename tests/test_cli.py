"""The command line as a person uses it: exit codes, one line for a mistake, folders, sweeps."""

import csv
import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from dip_lab import cli, experiment
from dip_lab.compose import cell_at, cells_of, compose, register_resolvers
from dip_lab.runs import files
from dip_lab.runs.claims import LOCK
from dip_lab.spelling import own_configs

RUN = Path(__file__).resolve().parents[1] / "run.py"
TINY = ["logger=none", "iterations=2", "log_every=1", "device=cpu", "net=skip_narrow", "net.width=4", "net.depth=2",
        "data.size=16"]


def cells(folder: Path = Path("outputs")) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/*/result.json"))


def results(folder: Path = Path("outputs")) -> list[dict]:
    return [json.loads((cell / "result.json").read_text()) for cell in cells(folder)]


def folder_of(*overrides: str) -> str:
    """The name of the folder that a command would have."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(cli.config_folder()), version_base="1.3"):
        cfg = hydra.compose("run", list(overrides), return_hydra_config=True)
    return cell_at(cfg, cfg.hydra, None).name


def save_picture(path: Path, size: tuple[int, int] = (16, 16), shade: int = 0) -> Path:
    image = Image.radial_gradient("L").resize(size).point(lambda value: max(value, shade))
    image.save(path)
    return path


MISTAKES = {
    "net=skp": ["net=skp", "did you mean skip", "unet"],
    "task=": ["task", "denoise", "inpaint"],
    "task.sigmaa=3": ["task.sigmaa", "did you mean task.sigma?"],
    "sigma=50": ["sigma", "did you mean task.sigma?"],
    "noise=none": ["noise", "did you mean task/noise?"],
    "iteration=5": ["iteration", "did you mean iterations?"],
    "net.xyzzy=1": ["net.xyzzy", "--cfg job"],
    "+net.bogus=1": ["Skip", "'bogus'", "width"],
    "+net.widht=1": ["Skip", "'widht'", "did you mean width?"],
    "task.sigma=-1": ["task.sigma", "-1", "at least 0"],
    "task.sigma=loud": ["task.sigma", "loud", "number"],
    "task=super_resolution task.factor=3": ["task.factor=3", "2, 4 or 8"],
    "task=inpaint task.mask.path=holes.png": ["holes.png", "9 x 8 px", "16 x 16 px"],
    "task=inpaint task.mask.path=none.png": ["none.png", "no such file"],
    "task=inpaint task/mask=file": ["task.mask.path", "holes.png"],
    "data.name=nobody": ["data.name=nobody", "astronaut"],
    "data.size=3": ["data.size=3", "at least 8"],
    "data=file": ["data.path has no value", "data.path=..."],
    "data=file data.path=nope.png": ["nope.png", "no such file"],
    "data=folder data.path=nope": ["data.path", "nope", "is not a folder"],
    "-m data=folder data.path=nope": ["data.path", "nope", "is not a folder"],
    "iterations=0": ["iterations=0", "at least 1"],
    "iterations=1.5": ["iterations=1.5", "whole number"],
    "log_every=0": ["log_every=0", "at least 1"],
    "seed=x": ["seed=x", "whole number"],
    "precision=fp8": ["precision=fp8", "bf16"],
    "device=tpux": ["tpux", "auto"],
    "trainer.devices=2": ["trainer.devices=2", "one device"],
    "net._target_=os.system": ["os.system", "DIP_LAB_TARGETS"],
    "net._target_=dip_lab.nets.skip.Skp": ["dip_lab.nets.skip.Skp", "cannot be imported"],
    "name=${nope}": ["nope"],
    "task.sigma=[1": ["task.sigma=[1", "quote"],
    "data=file data.path=[1].png": ["no such file", "[1].png"],
    "task=inpaint task.mask.path=it's{1}.png": ["no such file", "it's{1}.png"],
    "net=[skip,unet]": ["net takes one option", "-m net=skip,unet"],
    "task/noise=[none,poisson]": ["task/noise takes one option"],
    "--task inpaint": ["--task", "no dashes", "task=inpaint"],
    "-m --task=inpaint": ["--task=inpaint", "no dashes", "task=inpaint"],
    "task.factor=3": ["task.factor: task=denoise has no such key", "task=super_resolution"],
    "task.mask.path=a.png": ["task=denoise has no such key: it belongs to task=inpaint"],
    "task/mask=file": ["task=denoise has no such key: it belongs to task=inpaint"],
    "regularizer.tv.weight=1": ["regularizer=none has no such key: it belongs to regularizer=tv"],
    "-cd nowhere": ["nowhere", "not found"],
    "rerun=no": ["rerun=no", "true or false"],
    "retry_failed=abc": ["retry_failed=abc", "true or false"],
    "faithful=off": ["faithful=off", "true or false"],
    "task.given=n": ["task.given=n", "true or false"],
    "net.mix_1x1=no": ["mix_1x1=no", "true or false"],
    "name=../../x": ["name=../../x", "one plain name"],
    "name=..": ["name=..", "one plain name"],
    "name=null": ["name=None", "one plain name"],
    "name=[1]": ["name=[1]", "one plain name"],
    "task.answer=../../x": ["task.answer=../../x", "one plain name"],
    "task.answer=/x": ["task.answer=/x", "one plain name"],
    "task.answer=[1]": ["task.answer=[1]", "one plain name"],
    "task.answer=observed": ["task.answer=observed", "a run writes"],
    "task.answer=Result": ["task.answer=Result", "a run writes"],
    "net=[1,2]": ["net takes one option", "-m net=1,2"],
    "regularizer=[1,2]": ["regularizer takes the name of an option"],
    "logger={a:{b:1}}": ["logger takes the name of an option"],
    "average=[]": ["average takes one option"],
    "~optimizer": ["~optimizer", "a run needs"],
    "~seed": ["~seed", "a run needs"],
    "shadow=[1]": ["shadow=[1]", "stopping rules"],
    "task.observation=1_000": ["task.observation=1000", "the name of a file"],
    "task.view=-1": ["-1", "a class and what it takes"],
    "~latent._target_": ["latent has no _target_"],
    "net._target_=5": ["_target_=5", "full name of a class"],
    "+net._partial_=true": ["these settings cannot be used"],
    "device=[]": ["device=[]", "cpu"],
    "task/misfit=fuse_infrared": ["FusionMisfit", "task/misfit=mse"],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(mistake, command):
    Image.radial_gradient("L").resize((9, 8)).point(lambda value: 255 * (value > 90)).save("holes.png")
    code, said = command(*TINY, *mistake.split())
    lines = said.strip().splitlines()
    assert code == 2 and len(lines) == 1, said
    assert all(word in lines[0] for word in MISTAKES[mistake]), said
    assert not list(Path("outputs").glob("*/*/*.png"))


def test_a_mistake_does_not_cost_the_earlier_fit(command):
    """`rerun=true` removes nothing before all that the new fit needs has been built."""
    command(*TINY, "hydra.run.dir=kept", "iterations=3")
    before = {path: path.read_bytes() for path in Path("kept").rglob("*") if path.is_file()}
    for mistake in ("precision=fp8", "net.mix_1x1=no", "latent.jitter=-1"):
        code, said = command(*TINY, "hydra.run.dir=kept", "rerun=true", mistake)
        assert code == 2, said
        assert not [path for path, content in before.items() if path.parent.name != ".hydra" and path.suffix != ".log"
                    and path.read_bytes() != content], mistake


def test_a_mistake_before_the_fit_is_recorded(command):
    command(*TINY, "precision=fp8")
    (result,) = results()
    assert result["status"] == "failed" and "fp8" in result["error"] and result["net"] == "skip_narrow"


def test_outputs_that_is_a_file(command):
    Path("outputs").write_text("mine")
    code, said = command(*TINY)
    assert code == 2 and len(said.strip().splitlines()) == 1 and "outputs" in said
    assert Path("outputs").read_text() == "mine"


def test_two_folders_of_own_configs_are_not_one(command):
    code, said = command("data=mine", "-cd", "one", "seed=1", "--config-dir=two")
    assert code == 2 and said == "-cd two: give one folder with -cd, and hydra.searchpath=[...] for more\n"


def test_a_secret_is_in_no_file(command, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "hunter2")
    code, said = command(*TINY, "logger=csv", "+logger.csv.prefix=${oc.env:SECRET}")
    assert code == 0, said
    read = [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert not [path for path in read if path.name != "metrics.csv"]  # whose columns the value itself names


def test_outputs_that_is_a_link_to_nothing(command, tmp_path):
    Path("outputs").symlink_to(tmp_path / "gone")
    for mode in ((), ("-m",)):
        code, said = command(*mode, *TINY, "baseline=median")
        assert code == 2 and said.strip() == f"outputs: a link to {tmp_path / 'gone'}, which is not there"


def test_outputs_that_are_read_only(command, monkeypatch):
    sweep = ("-m", *TINY, "baseline=median", "seed=0,1", "name=both")
    assert command(*TINY, "baseline=median")[0] == 0 and command(*sweep)[0] == 0
    opened, made = open, os.mkdir

    def refuse(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    def open_to_read(file, mode="r", *arguments, **keywords):
        return opened(file, mode, *arguments, **keywords) if "r" in mode else refuse(file)

    monkeypatch.setattr("builtins.open", open_to_read)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda dir, prefix, delete: refuse(Path(dir, f"{prefix}x1y2")))
    monkeypatch.setattr(os, "mkdir", lambda path, mode: made(path, mode) if Path(path).exists() else refuse(path))
    code, said = command(*TINY, "baseline=median")
    assert code == 0 and said.startswith("done before: ")
    for again in (sweep, [each.replace("0,1", "1") for each in sweep]):
        code, said = command(*again)
        assert code == 0 and "psnr" in said and " skipped, 0 failed" in said
    for new, file in (("seed=7", "outputs/denoise/"), ("rerun=true", "dip_lab.log")):
        code, said = command(*TINY, "baseline=median", new)
        assert code == 2 and len(said.strip().splitlines()) == 1
        assert file in said and said.strip().endswith(": Read-only file system")
    code, said = command(*(each.replace("0,1", "6,7") for each in sweep))
    assert code == 2 and said.strip() == "outputs/both/multirun.yaml: Read-only file system"


def test_a_disk_that_fills_during_the_fit(command, monkeypatch):
    sync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:  # two per file: result.json of a cell that begins, and the history
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", full)
    code, said = command(*TINY, "log_every_image=1")
    assert code == 2 and len(said.strip().splitlines()) == 1 and re.search(r"\d{6}\.png: No space left", said), said
    (folder,) = Path("outputs").glob("*/*")
    assert (folder / "history.csv").read_text().startswith("iteration,")
    assert results()[0]["status"] == "unfinished" and not (folder / "error.txt").exists()
    assert not [path for path in folder.rglob(".*") if path.is_file() and path.name != LOCK], "a temporary file"
    monkeypatch.setattr(files.os, "fsync", sync)
    code, _ = command(*TINY, "log_every_image=1")
    assert code == 0 and results()[0]["status"] == "done"


def test_an_error_of_ours_is_one_line_and_its_traceback_is_kept(command, monkeypatch):
    def fit(*arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(experiment, "run", fit)
    code, said = command(*TINY)
    (record,) = Path("outputs").glob("*/*/error.txt")
    assert code == 1 and said.strip() == f"RuntimeError: a bug (HYDRA_FULL_ERROR=1 shows where): see {record}"
    assert "Traceback" in record.read_text() and 'raise RuntimeError("a bug")' in record.read_text()
    monkeypatch.setattr(cli, "FULL_ERROR", True)
    with pytest.raises(RuntimeError, match="a bug"):
        command(*TINY)


def test_hydra_full_error_shows_the_traceback(tmp_path):
    environment = {**os.environ, "HYDRA_FULL_ERROR": "1"}
    command = [sys.executable, RUN, "sigma=50"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 1 and "Traceback" in ran.stderr and "Could not override 'sigma'" in ran.stderr


def test_a_done_cell_is_not_run_again(command, monkeypatch):
    code, said = command(*TINY)
    assert code == 0 and "psnr" in said and "dip_denoised.png" in said
    (cell,) = cells()
    assert str(cell) in said, "the picture's path is whole, whatever the terminal's width"
    before = (cell / "result.json").read_bytes()

    def fit(*arguments):
        raise AssertionError("fitted again")

    monkeypatch.setattr(experiment, "run", fit)
    code, said = command(*TINY, "trainer.benchmark=true")
    assert code == 0 and said.startswith("done before: ") and cells() == [cell]
    assert (cell / "result.json").read_bytes() == before
    monkeypatch.undo()


def test_rerun_starts_over(command):
    command(*TINY)
    (cell,) = cells()
    (cell / "snapshots").mkdir(exist_ok=True)
    (cell / "snapshots" / "999999.png").touch()
    (cell / "checkpoints").mkdir(exist_ok=True)
    started = (cell / "result.json").stat().st_mtime_ns
    code, said = command(*TINY, "rerun=true")
    assert code == 0 and "done before" not in said and cells() == [cell]
    assert not (cell / "snapshots" / "999999.png").exists()
    assert (cell / "result.json").stat().st_mtime_ns > started
    assert (cell / ".hydra" / "config.yaml").exists()


def test_a_claimed_cell_is_left_alone(command):
    command(*TINY)
    (cell,) = cells()
    before = (cell / "result.json").read_bytes()
    with open(cell / LOCK, "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = command(*TINY, "rerun=true")
    assert code == 2 and len(said.strip().splitlines()) == 1, said
    assert f"is being computed by process {os.getpid()}" in said
    assert (cell / "result.json").read_bytes() == before, "another process's result is not ours to overwrite"


def test_a_sweep_has_a_folder_and_a_row_for_each_cell(command):
    single, _ = command(*TINY)
    (alone,) = cells()
    code, said = command("-m", *TINY, "seed=0,1")
    assert single == code == 0 and len(cells()) == 2 and alone in cells()
    assert "1 done, 1 skipped, 0 failed" in said.splitlines()[-1]
    with open("outputs/denoise/summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["cell"] for row in rows} == {cell.name for cell in cells()}
    assert {row["seed"] for row in rows} == {"0", "1"} and all(row["status"] == "done" for row in rows)
    assert len(Path("outputs/denoise/summary.md").read_text().splitlines()) == 4


@pytest.mark.slow
def test_a_sweep_over_nets_and_tasks(command):
    tiny = [a for a in TINY if not a.startswith("net")]
    code, said = command(*tiny, "-m", "net=resnet,segnet", "task=denoise,inpaint")
    assert code == 0 and "4 done, 0 skipped, 0 failed" in said
    assert {(r["task"], r["net"]) for r in results()} == {(t, n) for t in ("denoise", "inpaint") for n in
                                                         ("resnet", "segnet")}
    for task in ("denoise", "inpaint"):
        assert len(Path(f"outputs/{task}/summary.csv").read_text().splitlines()) == 3


def test_a_sweep_over_files(command):
    for name in ("a", "b"):
        save_picture(Path(f"{name}.png"), shade=40 if name == "a" else 0)
    code, said = command("-m", *TINY, "data=file", "data.path=a.png,b.png")
    assert code == 0 and "2 done" in said and {result["picture"] for result in results()} == {"a", "b"}


def test_a_failing_cell_does_not_end_the_sweep(command):
    code, said = command("-m", *TINY, "task=super_resolution", "task.factor=3,2")
    assert code == 1 and "1 done, 0 skipped, 1 failed" in said.splitlines()[-1]
    assert "Traceback" not in said and "task.factor=3: choose 2, 4 or 8" in said
    found = {result["status"]: result for result in results()}
    assert found.keys() == {"done", "failed"} and "task.factor=3" in found["failed"]["error"]
    assert found["failed"]["picture"] == "astronaut" and found["failed"]["seed"] == 0
    table = Path("outputs/super_resolution/summary.md").read_text()
    assert "failed" in table and "done" in table
    code, said = command("-m", *TINY, "task=super_resolution", "task.factor=3,2")
    assert code == 1 and "0 done, 1 skipped, 1 failed" in said.splitlines()[-1]


def test_a_bug_in_one_cell_does_not_end_the_sweep(command, monkeypatch):
    run = experiment.run

    def broken(cfg, *rest):
        if cfg.seed == 0:
            raise RuntimeError("a bug")
        return run(cfg, *rest)

    monkeypatch.setattr(experiment, "run", broken)
    code, said = command("-m", *TINY, "seed=0,1")
    assert code == 1 and "1 done, 0 skipped, 1 failed" in said.splitlines()[-1]


@pytest.mark.slow
def test_one_cell_for_each_picture_of_a_folder(command):
    names = ["[x], {y}=1 (2).png", "it's $x.png", "grüße 猫.png", "101085.png", "a\\b.png"]
    Path("my pictures").mkdir()
    for shade, name in enumerate(names):
        save_picture(Path("my pictures") / name, shade=20 * shade)
    code, said = command("-m", *TINY, "iterations=1", "data=folder", "data.path='my pictures'")
    assert code == 0 and f"{len(names)} done, 0 skipped, 0 failed" in said.splitlines()[-1], said
    assert {result["picture"] for result in results()} == {Path(name).stem for name in names}
    assert len(cells()) == len(names)
    assert all(re.fullmatch(r"[\w.-]+", cell.name) for cell in cells())


ODD = ["my photo (1), copy.png", "it's [x]=$.png", "ends\\'.png", "${y}.png", "a\\${y}.png"]


@pytest.mark.parametrize("name", ODD)
def test_a_path_needs_no_quotes_beyond_the_shells(name, command):
    save_picture(Path(name))
    code, said = command(*TINY, "iterations=0", "data=file", f"data.path={name}")
    assert code == 2 and "iterations=0" in said, said
    assert results()[0]["picture"] == Path(name).stem


def test_nor_do_several_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ODD:
        save_picture(Path(name))
    assert [*compose(["data=sources", f"data.paths=[{','.join(ODD)}]"]).data.paths] == ODD
    swept = cells_of(["data=file", f"data.path={','.join(ODD)}"])
    assert [cfg.data.path for cfg in swept] == ODD
    assert [cell_at(cfg, cfg.hydra, None).picture for cfg in swept] == [Path(name).stem for name in ODD]
    home = compose(["data=file", "data.path=~/[1].png", "hydra.run.dir=~/runs"])
    assert (home.data.path, home.hydra.run.dir) == (f"{tmp_path}/[1].png", f"{tmp_path}/runs")


def test_paths_start_where_the_command_was_typed(command):
    save_picture(Path("a.png"))
    code, said = command("-m", *TINY, "data=file", "data.path=a.png", "hydra.job.chdir=true")
    assert code == 0 and results()[0]["picture"] == "a" and results()[0]["status"] == "done", said


@pytest.mark.parametrize("start", [[str(RUN)], ["-m", "dip_lab"]])
def test_a_reader_that_goes_away(start):
    """It is written to a pipe that is closed, as `head -1` closes it."""
    ours, theirs = os.pipe()
    os.close(ours)
    ran = subprocess.run([sys.executable, *start, "--help"], stdout=theirs, stderr=subprocess.PIPE, cwd=RUN.parent)
    os.close(theirs)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_the_hash_ignores_how_a_fit_is_watched():
    same = {folder_of(*TINY, o) for o in ("seed=0", "name=mine", "logger=csv", "trainer.benchmark=true", "device=auto",
                                          "rerun=true")}
    assert len(same) == 1
    other = {folder_of(*TINY, o) for o in ("seed=1", "iterations=3", "task.sigma=26", "net.width=8", "stopping=fixed")}
    assert len(other) == 5 and not other & same


def test_the_hash_follows_the_picture_not_its_place(tmp_path, monkeypatch):
    here = save_picture(tmp_path / "photo.png")
    (tmp_path / "elsewhere").mkdir()
    there = tmp_path / "elsewhere" / "photo.png"
    shutil.copy(here, there)
    first = folder_of("data=file", f"data.path={here}")
    assert folder_of("data=file", f"data.path={there}") == first
    monkeypatch.chdir(tmp_path)
    assert folder_of("data=file", "data.path=photo.png") == first
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_of("data=file", "data.path='~/photo.png'") == first
    in_folder = folder_of("data=folder", f"data.path={tmp_path}", "data.name=photo")
    assert folder_of("data=folder", f"data.path={there.parent}", "data.name=photo.png") == in_folder
    save_picture(there, shade=90)
    assert folder_of("data=file", f"data.path={there}") != first
    assert folder_of("data=folder", f"data.path={there.parent}", "data.name=photo") != in_folder


def test_the_command_line_imports_no_torch():
    heavy = "{'torch', 'pytorch_lightning', 'numpy', 'matplotlib', 'wandb', 'PIL'}"
    check = f"import sys, dip_lab.cli; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=RUN.parent)


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]], ids=" ".join)
def test_help_and_config_are_quick(arguments, tmp_path):
    before = os.times()
    ran = subprocess.run([sys.executable, RUN, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
    after = os.times()
    assert "task" in ran.stdout and not list(tmp_path.iterdir())
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 1, "seconds of processor time: what a quiet machine makes a person wait"


@pytest.mark.slow
def test_an_experiment_with_its_own_sweep_ends_with_a_table_and_one_figure(command):
    arguments = ("experiment=ablation/architectures", "net=skip_narrow,siren", "data.size=16", "iterations=3",
                 "log_every=1", "logger=none")
    code, printed = command(*arguments)
    assert code == 0 and "4 done, 0 skipped, 0 failed" in printed
    group = Path("outputs/architectures")
    table = (group / "summary.md").read_text()
    assert all(f"| {task} | {net} |" in table for task in ("denoise", "inpaint") for net in ("skip_narrow", "siren"))
    assert "parameters" in table
    with Image.open(group / "curves.png") as figure:
        assert figure.width > 1000
    assert "0 done, 4 skipped, 0 failed" in command(*arguments)[1]


BASELINE = ["baseline=nlm", *TINY]


def test_a_baseline_has_the_folder_and_the_summary_of_a_fit(command):
    assert command(*TINY)[0] == 0
    code, printed = command(*BASELINE)
    assert code == 0 and "dB" in printed and "iteration" not in printed
    fitted, done = sorted(results(), key=lambda result: result["baseline"] is not None)
    assert list(fitted) and set(fitted) == set(done)
    assert (done["baseline"], done["net"], done["status"]) == ("nlm", None, "done") and done["psnr"] > 20
    (folder,) = Path("outputs/denoise").glob("denoise-nlm-astronaut-*")
    names = {path.name for path in folder.iterdir()}
    assert {"dip_denoised.png", "dip_denoised_panel.png", "target.png", "observed.png"} <= names
    assert not {"dip_denoised_curves.png", "history.csv", "stopping.csv", "checkpoints"} & names


def test_a_baseline_is_one_cell_whatever_the_fit_would_be(command):
    assert command(*BASELINE)[0] == 0
    code, printed = command(*BASELINE, "iterations=7", "net.width=8", "splits.seeds.count=2")
    assert code == 0 and "done before" in printed and len(cells()) == 1
    assert command(*BASELINE, "baseline.h=0.7")[0] == command(*BASELINE, "task.sigma=50")[0] == 0
    assert len(cells()) == 3


def test_baselines_and_fits_share_a_sweep(command):
    code, printed = command("-m", "baseline=none,median,lanczos", *TINY)
    assert code == 1 and "2 done, 0 skipped, 1 failed" in printed  # lanczos enlarges, so it cannot denoise
    with open("outputs/denoise/summary.csv", newline="") as file:
        rows = {row["baseline"]: row for row in csv.DictReader(file)}
    assert rows["median"]["net"] == "" and rows[""]["net"] == "skip_narrow" and rows["lanczos"]["status"] == "failed"
    assert "baseline=lanczos works for task=super_resolution only" in printed


@pytest.fixture
def set5(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "sr" / "Set5" / "HR"
    folder.mkdir(parents=True)
    for name in ("baby", "bird", "butterfly", "head", "woman"):
        Image.new("RGB", (16, 16), "grey").save(folder / f"{name}.png")
    monkeypatch.setenv("DIP_LAB_DATA", str(tmp_path / "data"))


def pictures(*arguments: str) -> list[tuple]:
    """(picture, another key's value) of the cells of a sweep."""
    return [(cell_at(cfg, cfg.hydra, None).picture, cfg.data.get("size")) for cfg in cells_of(arguments)]


SET5 = ["baby", "bird", "butterfly", "head", "woman"]


@pytest.mark.parametrize("arguments, names", [
    (["data=set5", "data.name=glob(b*)"], ["baby", "bird", "butterfly"]),
    (["data=set5", "data.name=bird"], ["bird"]),
    (["data=sample,set5"], ["astronaut", *SET5]),
    (["data=set5", "data.name=glob([b*,h*],exclude=*y)"], ["bird", "head"]),
    (["experiment=paper/sr_x4_set5", "baseline=none", "data.name=glob(w*)"], ["woman"]),
    (["experiment=paper/sr_x4_set5,paper/sr_x8_set5", "baseline=none", "data.name=bird"], ["bird", "bird"]),
])
def test_the_pictures_of_a_set(arguments, names, set5):
    assert [picture for picture, _ in pictures(*arguments)] == names


def test_a_set_is_swept_with_everything_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one/a", "one/b", "two/b", "two/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_picture(tmp_path / f"{name}.png")
    folder = ("data=folder", "data.path=one,two")
    assert pictures(*folder, "data.name=glob(b*)", "data.size=choice(8,9)") == [("b", 8), ("b", 9)] * 2
    with pytest.raises(ValueError, match=r"data.name=glob\(c\*\): no such picture; there are a.png, b.png"):
        pictures(*folder, "data.name=glob(c*)")


def test_the_groups_of_a_folder(tmp_path):
    for name in ("Camp_IR", "Camp_Vis", "Road_IR", "Road_Vis", "alone"):
        Image.new("L", (16, 16)).save(tmp_path / f"{name}.png")
    found = pictures("data=pairs", f"data.path={tmp_path}", "task=fusion")
    assert [picture for picture, _ in found] == ["Camp", "Road"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of own configs: a data source of two pictures, and an experiment that sweeps it."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a", "photos/b", "own/data/mine", "own/experiment/both"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    for name in "ab":
        save_picture(tmp_path / "photos" / f"{name}.png", shade=40 if name == "a" else 0)
    (tmp_path / "own/data/mine.yaml").write_text(
        "# Mine\n_target_: dip_lab.data.folder.Folder\npath: photos\nname: null\nsize: 16\nclean: true\n")
    (tmp_path / "own/experiment/both.yaml").write_text(
        "# @package _global_\ndefaults: [override /data: mine]\nname: both\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {data.name: glob(*), stopping: 'fixed,wmv'}}}\n")


@pytest.mark.parametrize("flags", [["-m", "-cd", "own"], ["-m", "--config-dir=own"]])
def test_a_sweep_finds_own_configs(flags, own, command):
    code, said = command(*TINY[:-1], "net.width=4", *flags, "data=mine", "task.sigma=20")
    assert code == 0 and said.splitlines()[-1].startswith("2 done"), said
    assert {result["picture"] for result in results()} == {"a", "b"}


def test_so_does_its_table(own, script_of, capsys):
    assert len(cells_of([*own_configs("own"), "experiment=both"])) == 4
    with pytest.raises(ValueError, match="experiment is one of"):
        script_of("table").main(["nope", "-cd", "own"])


@pytest.mark.parametrize("arguments, said", [
    (["data.path=glob(*.png)", "data=file"], "data.path=glob(*.png): there is nothing to sweep over"),
    (["seed=range(3,3)"], "seed=range(3,3): there is nothing to sweep over"),
    (["seed=interval(0,1)"], "hydra/sweeper=optuna"),
    (["data=folder,file", "data.path=nope"], "data.path: nope is not a folder"),
    (["data=set5,file", "data.path=a.png"], "data.path: data=set5 has no such key: it belongs to data=array, "),
    (["net=skip_fast,skip_narrow", "task.sigmaa=3"], "task.sigmaa: there is no such key: did you mean task.sigma?"),
])
def test_a_sweep_that_cannot_be(arguments, said, command):
    code, printed = command("-m", "logger=none", *arguments)
    assert code == 2 and said in printed and len(printed.strip().splitlines()) == 1, printed
    assert not Path("outputs").exists()


def test_settings_of_a_swept_group(command):
    (folder := Path("outputs/denoise/0")).mkdir(parents=True)
    (folder / "result.json").write_text('{"status": "done"}')
    code, said = command("-m", "baseline=nlm_slow,nlm", *TINY, "baseline.h=0.7", "hydra.sweep.subdir=${hydra.job.num}")
    assert code == 0 and said.splitlines()[-1].startswith("1 done, 1 skipped"), said
    assert json.loads(Path("outputs/denoise/1/result.json").read_text())["config"]["baseline"]["h"] == 0.7


def test_rules_in_the_shadow_are_swept(tmp_path):
    assert [list(cfg.shadow) for cfg in cells_of(["shadow=[emv],[wmv,fixed]"])] == [["emv"], ["wmv", "fixed"]]


def test_pictures_that_cannot_be_chosen(command, set5):
    for arguments, message in (
        (["-m", "data=set5", "data.name=glob(x*)"], "glob(x*): no such picture; there are baby, bird"),
        (["-m", "data.name=glob(*)"], "only a folder and a data set have pictures to choose from"),
        (["data=set5"], "data.name is missing: pick one with data.name=..., or all with -m"),
    ):
        code, printed = command(*arguments, "logger=none")
        assert code == 2 and message in printed and "Traceback" not in printed
