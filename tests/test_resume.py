"""A fit that is killed at any moment and started again ends exactly as one that was left alone."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from needs import images_for, needed, options, write_files

from dip_lab.data.images import Images
from dip_lab.results.restoration import Restoration

ROOT = Path(__file__).resolve().parents[1]
VARYING = ("seconds", "seconds_per_iteration", "peak_memory_mb", "overrides")


def assert_same(folder, reference):
    """Picture, history and summary, without the times."""
    answer = json.loads((reference / "result.json").read_text())["answer"]
    for picture in (reference / f"{answer}.png", *(reference / answer).glob("*.png")):
        assert (folder / picture.relative_to(reference)).read_bytes() == picture.read_bytes()
    histories = [list(csv.DictReader((f / "history.csv").read_text().splitlines())) for f in (folder, reference)]
    results = [json.loads((f / "result.json").read_text()) for f in (folder, reference)]
    for rows in histories:
        for row in rows:
            del row["seconds"]
    for result in results:
        for part in (result, *(result["members"] or ()), *(result["parts"] or ())):
            for key in VARYING:
                part.pop(key, None)
    assert histories[0] == histories[1]
    assert results[0] == results[1]


class Killed(Exception):
    pass


class KillAt(pl.Callback):
    """Raises after iteration `at`, when every other callback has seen it, or at the `end`."""

    def __init__(self, at):
        self.at = at

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
        if iteration == self.at:
            raise Killed

    def on_train_end(self, trainer, module):
        if self.at == "end":
            raise Killed


class SignalAt(pl.Callback):
    def __init__(self, at, number):
        self.at, self.number = at, number

    def on_train_batch_start(self, trainer, module, iteration, batch_idx):
        if iteration == self.at:
            os.kill(os.getpid(), self.number)


# A group's options, each with what it needs at this size so that it works between two kills.
NEEDS = {
    "stopping=auto": ("stopping.independent.every=2", "stopping.independent.patience=15"),
    "stopping=discrepancy": ("stopping.tau=0.5",),
    "stopping=emv": ("stopping.patience=15", "stopping.min_start=10"),
    "stopping=flat_patches": ("data.size=24", "stopping.every=2", "stopping.patience=15", "stopping.min_start=5"),
    "stopping=hanke_raus": ("stopping.every=2", "stopping.patience=15", "stopping.min_start=5"),
    "stopping=holdout": ("stopping.every=2", "stopping.patience=15"),
    "stopping=oracle": ("stopping.every=3",),
    "stopping=plateau": ("stopping.patience=15",),
    "stopping=self_validation": ("stopping.every=2", "stopping.patience=15", "stopping.min_start=5"),
    "stopping=sure": ("latent=image", "stopping.every=3", "stopping.patience=15"),
    "optimizer=lbfgs": ("latent.jitter=0",),
    "optimizer=sgld": ("average.burn_in=5", "average.every=3"),
    "average=posterior": ("average.burn_in=5", "average.every=3"),
    "average=weights": ("average.every=4",),
    "average=window": ("average.window=7",),
    "regularizer=red": ("regularizer.red.every=3",),
    "regularizer=towards": ("task=inpaint", "regularizer.towards.until=40"),
}


CASES = {
    f"{group}={option}": (f"{group}={option}", *NEEDS.get(f"{group}={option}", ()))
    for group in ("stopping", "optimizer", "descent/schedule", "average", "regularizer") for option in options(group)
    if option not in ("temporal", "flow")  # of clips: below
}
CASES |= {
    "fixed, no average": ("stopping=fixed", "average=none"),
    "guard out of step": ("callbacks.guard.every=7",),
    "learned": ("latent=learned",),
    "self-guided": ("latent=self_guided",),
    "aseq": ("latent=aseq",),
    "baseline's answer": ("task=inpaint", "latent=baseline", "latent.noise_depth=2"),
    "weight noise and clipping": ("descent.weight_noise=0.02", "descent.clip=0.1"),
    "coarse to fine": ("generator.coarse_to_fine.factor=2", "generator.coarse_to_fine.iterations=25"),
    "two seeds": ("splits.seeds.count=2",),
    "shadow": ("shadow=[emv,discrepancy,plateau,self_validation]",),
}


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch):
    for plot in ("curves", "panel"):  # slow, and tested elsewhere
        monkeypatch.setattr(Restoration, plot, lambda self: b"")


@pytest.fixture
def left_alone(fit_tiny, tmp_path):
    def run(*overrides):
        fit_tiny(*overrides, folder=tmp_path / "alone")
        return tmp_path / "alone"

    return run


OFTEN = ("stopping=wmv", "stopping=holdout", "average=none", "optimizer=muon", "two seeds", "shadow")


@pytest.mark.parametrize("case", CASES)
def test_killed_at_several_iterations(case, fit_tiny, left_alone, tmp_path, caplog):
    reference = left_alone(*CASES[case])
    for at in (1, 10, 17, 31, "end") if case in OFTEN else (17,):
        with pytest.raises(Killed):
            fit_tiny(*CASES[case], folder=tmp_path / "killed", callbacks=[KillAt(at)])
        assert not (tmp_path / "killed" / "result.json").exists()
    fit_tiny(*CASES[case], folder=tmp_path / "killed")
    assert "begins anew" not in caplog.text and "the one before it" not in caplog.text
    assert_same(tmp_path / "killed", reference)


def noise(frames=1, channels=3, size=16):
    pixels = torch.rand(frames, channels, size, size, generator=torch.Generator().manual_seed(0))
    return Images("noise", pixels, selection=slice(0, None, 1))


BEYOND = {  # (picture, overrides)
    **{f"video={mode}": (noise(4), (f"video={mode}",)) for mode in options("video")},
    "chunks": (noise(5), ("video.chunk=3", "video.overlap=1", "video.batch=2")),
    "temporal": (noise(4), ("regularizer=temporal",)),
    "flow": (noise(4), ("regularizer=flow",)),
    "complex": (noise(channels=1), ("task=mri", "task.complex=true", "task.phase=1")),
    "tiles": (noise(size=30), ("tile=20", "splits.tiles.overlap=6")),
    "tiles of one network": (noise(size=30), ("tile=20", "splits.tiles.overlap=6", "splits/tiles=one")),
    # Killed in the second seed of a tile, and in the second frame: what a piece inside a part left is not the part.
    "tiles of two seeds": (noise(size=20), ("tile=16", "splits.tiles.overlap=6", "splits.seeds.count=2",
                                            "iterations=10")),
    "frames of tiles": (noise(2, size=20), ("video=per_frame", "tile=16", "splits.tiles.overlap=6", "splits/tiles=one",
                                            "iterations=10")),
}


class KillAfter(pl.Callback):
    """Raises after this many iterations of this process, in whatever part."""

    def __init__(self, iterations):
        self.left = iterations

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
        self.left -= 1
        if self.left == 0:
            raise Killed


def killed_and_continued(fit_tiny, tmp_path, picture, overrides, *kills):
    fit_tiny("iterations=20", *overrides, folder=tmp_path / "alone", picture=picture)
    for iterations in kills:
        with pytest.raises(Killed):
            fit_tiny("iterations=20", *overrides, folder=tmp_path / "killed", picture=picture,
                     callbacks=[KillAfter(iterations)])
        assert not (tmp_path / "killed" / "result.json").exists()
    fit_tiny("iterations=20", *overrides, folder=tmp_path / "killed", picture=picture)
    assert_same(tmp_path / "killed", tmp_path / "alone")


@pytest.mark.parametrize("case", BEYOND)
def test_parts_and_clips_killed(case, fit_tiny, tmp_path, caplog):
    killed_and_continued(fit_tiny, tmp_path, *BEYOND[case], 7, 17)
    assert "begins anew" not in caplog.text and "the one before it" not in caplog.text


@pytest.mark.parametrize("task", options("task"))
def test_every_task_killed(task, fit_tiny, compose_tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("DIP_LAB_TARGETS", "deepinv")
    if task == "deepinv":
        pytest.importorskip("deepinv")
    write_files(tmp_path, 16, 16)
    overrides = [f"task={task}", *needed([f"task={task}"], tmp_path)]
    killed_and_continued(fit_tiny, tmp_path, images_for(compose_tiny(*overrides)[0], 16, 16), overrides, 13)


@pytest.mark.parametrize("case", ["stopping=wmv", "average=none", "stopping=fixed"])
def test_interrupted_out_of_step(case, fit_tiny, left_alone, tmp_path):
    reference = left_alone(*CASES[case])
    folder = tmp_path / "interrupted"
    for at, number in ((17, signal.SIGINT), (33, signal.SIGTERM)):
        before = signal.getsignal(number)
        signal.signal(number, signal.SIG_DFL)  # this process may have been started with SIGINT ignored
        restoration = fit_tiny(*CASES[case], folder=folder, callbacks=[SignalAt(at, number)])
        signal.signal(number, before)
        assert restoration.summary["status"] == "interrupted"
        assert restoration.summary["stop_reason"] == f"interrupted by {number.name}"
        assert (folder / "dip_denoised.png").exists()
        assert (folder / "checkpoints" / f"{at:07d}.pt").exists()
    assert fit_tiny(*CASES[case], folder=folder).summary["status"] == "done"
    assert_same(folder, reference)


def test_events_of_the_guard_survive(fit_tiny, tmp_path):
    class Poison(pl.Callback):
        def on_train_batch_start(self, trainer, module, iteration, batch_idx):
            if iteration == 15:
                next(module.parameters()).data.fill_(float("nan"))

    alone = fit_tiny("stopping=fixed", folder=tmp_path / "alone", callbacks=[Poison()])
    assert [event["iteration"] for event in alone.summary["guard_events"]] == [20]
    for at in (17, 20, 25):
        with pytest.raises(Killed):
            fit_tiny("stopping=fixed", folder=tmp_path / "killed", callbacks=[Poison(), KillAt(at)])
    fit_tiny("stopping=fixed", folder=tmp_path / "killed", callbacks=[Poison()])
    assert_same(tmp_path / "killed", tmp_path / "alone")


def test_a_torn_checkpoint_falls_back_to_the_one_before(fit_tiny, left_alone, tmp_path, caplog):
    reference, folder = left_alone(), tmp_path / "killed"
    with pytest.raises(Killed):
        fit_tiny(folder=folder, callbacks=[KillAt(34)])
    newest = folder / "checkpoints" / "0000030.pt"
    assert sorted(p.name for p in newest.parent.iterdir()) == ["0000020.pt", "0000030.pt"]
    newest.write_bytes(newest.read_bytes()[:-500])
    fit_tiny(folder=folder)
    assert "0000030.pt: it has no digest: the one before it is used" in caplog.text
    assert_same(folder, reference)


def test_foreign_files_among_the_checkpoints_are_passed_over(fit_tiny, left_alone, tmp_path):
    reference, folder = left_alone(), tmp_path / "new"
    (folder / "checkpoints").mkdir(parents=True)
    torch.save({"iteration": 3}, folder / "checkpoints" / "0000003.pt")
    (folder / "checkpoints" / "0000009.pt").write_bytes(b"")
    fit_tiny(folder=folder)
    assert_same(folder, reference)


@pytest.mark.parametrize("dies", [False, True], ids=["fails", "dies and leaves its temporary file"])
def test_killed_inside_the_write(dies, fit_tiny, left_alone, tmp_path, monkeypatch):
    reference, folder = left_alone(), tmp_path / "killed"
    replace = os.replace

    def torn(source, target):
        if Path(target).name == "0000030.pt":
            if dies:
                Path(source).rename(folder / "checkpoints" / ".dip_lab-x1y2")
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", torn)
        with pytest.raises(Killed):
            fit_tiny(folder=folder)
    left = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert left == [".dip_lab-x1y2"] * dies + ["0000010.pt", "0000020.pt"]
    fit_tiny(folder=folder)
    assert_same(folder, reference)
    assert not list((folder / "checkpoints").glob(".*"))


@pytest.mark.parametrize("change", ["another picture", "another experiment"])
def test_a_folder_of_something_else_is_refused(change, fit_tiny, tmp_path):
    fit_tiny(folder=tmp_path)
    changed = "data.name=camera" if change == "another picture" else "optimizer.lr=0.02"
    with pytest.raises(ValueError, match="another experiment or picture"):
        fit_tiny(changed, folder=tmp_path)


# Below: `python run.py` itself; its four processes run at the same time, because starting them takes most of the time.

COMMAND = ("data.size=16", "net.width=4", "net.depth=2", "log_every=2", "logger=none", "device=cpu",
           "callbacks.checkpoint.seconds=0", "callbacks.guard.every=10")
WMV = ("iterations=200", "stopping=wmv", "stopping.window=10", "stopping.patience=90", "stopping.min_start=10")
RULES = {"wmv": WMV, "fixed": ("iterations=150", "stopping=fixed")}
ENDS = {"kill-wmv": (signal.SIGKILL, "wmv"), "kill-fixed": (signal.SIGKILL, "fixed"),
        "int": (signal.SIGINT, "fixed"), "term": (signal.SIGTERM, "wmv")}


def start(root, *overrides):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(ROOT / "run.py"), *COMMAND, *overrides], cwd=root, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored below a shell's background job
    )


def rows(root):
    return sum(len(path.read_text().splitlines()) for path in root.glob("outputs/*/*/history.csv"))


def cell(root):
    (folder,) = root.glob("outputs/denoise/*")
    return folder


@pytest.fixture(scope="module")
def struck(tmp_path_factory):
    """Four processes, each struck by its signal at a random row: {name: (its folder, exit code, output)}."""
    dice = random.Random(os.urandom(4))
    processes, waiting = {}, {}
    for name, (_, rule) in ENDS.items():
        root = tmp_path_factory.mktemp(name)
        processes[name] = (root, start(root, *RULES[rule]))
        waiting[name] = dice.randint(4, 30)
    deadline = time.monotonic() + 120
    while waiting and time.monotonic() < deadline:
        for name, after in list(waiting.items()):
            root, process = processes[name]
            if rows(root) >= after or process.poll() is not None:
                process.send_signal(ENDS[name][0])
                del waiting[name]
        time.sleep(0.005)
    for name in waiting:
        processes[name][1].kill()
    outputs = {name: process.communicate(timeout=120)[0] for name, (_, process) in processes.items()}
    assert not waiting, outputs
    return {name: (root, process.returncode, outputs[name]) for name, (root, process) in processes.items()}


@pytest.fixture(scope="module")
def interrupted_records(struck):
    """What result.json said before the command was given again."""
    records = {}
    for name, (root, _, _) in struck.items():
        folder = cell(root)
        result = json.loads((folder / "result.json").read_text())
        if result["status"] != "unfinished":
            newest = max(path.name for path in (folder / "checkpoints").glob("[0-9]*.pt"))
            picture = (folder / "dip_denoised.png").exists()
            records[name] = (result["status"], result["stop_reason"], picture, newest)
    return records


@pytest.fixture(scope="module")
def continued(struck, interrupted_records):
    """The same command again, for two of the four."""
    again = {name: start(struck[name][0], *RULES[ENDS[name][1]]) for name in ("kill-wmv", "int")}
    ended = {name: (process.communicate(timeout=120)[0], process.returncode) for name, process in again.items()}
    assert all(code == 0 for _, code in ended.values()), ended
    return again


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_run_py_struck_and_started_again(name, struck, interrupted_records, continued, fit_tiny, tmp_path):
    number, rule = ENDS[name]
    _, code, output = struck[name]
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL, output
        assert name not in interrupted_records
    else:
        assert code == 128 + number, output
        assert "Traceback" not in output
        status, reason, has_picture, checkpoint = interrupted_records[name]
        assert (status, reason) == ("interrupted", f"interrupted by {number.name}")
        assert has_picture and re.fullmatch(r"\d{7}\.pt", checkpoint)
    folder = cell(struck[name][0])
    command = (*COMMAND, "log_every_image=500", "precision=auto", *RULES[rule])
    if name not in continued:
        fit_tiny(*command, folder=folder)
    fit_tiny(*command, folder=tmp_path)
    assert_same(folder, tmp_path)
