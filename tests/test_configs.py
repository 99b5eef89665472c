"""Every shipped YAML runs: composed with Hydra, each group varied one at a time, and fitted for 3 iterations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from dip_lab import runs
from dip_lab.compose import compose
from dip_lab.experiment import fit
from dip_lab.images import Picture

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
YAMLS = sorted(CONFIGS.rglob("*.yaml"))
PACKAGES = {
    "data": "data", "task": "tasks", "video": "video", "net": "nets", "latent": "latents", "optimizer": "optimizers",
    "stopping": "stopping", "average": "averages", "regularizer": "regularizers", "baseline": "baselines",
    "callbacks": "callbacks",
    "logger": "loggers", "trainer": None, "experiment": None, "hydra": None,
}
SHORT = ["logger=none", "iterations=3", "log_every=1", "log_every_image=2", "device=cpu"]
NEEDS = {
    "task/mask=file": ["task.mask.path={tmp}/holes.png"],
    "optimizer=lbfgs": ["latent.jitter=0"],
    "latent=coarse": ["net=deep_decoder"],
    "stopping=sure": ["latent=image"],
    "data=sample": ["data.size=24"],
    "data=file": ["data.path={tmp}/pictures/one.png", "data.size=16"],
    "data=folder": ["data.path={tmp}/pictures"],
    "task/mask=observed": ["task.observation={tmp}/observed.png"],
    "task=custom": ["task.operator.module={{_target_:torch.nn.AvgPool2d,kernel_size:2}}"],
    "task=guided": ["task.guide={tmp}/observed.png"],
    "task/misfit=jpeg_interval": ["stopping=fixed"],
    "task/psf=file": ["task.psf.path={tmp}/pictures/one.png"],
    "task/sampling=file": ["task.sampling.path={tmp}/holes.png"],
    "task/sampling=observed": ["task.given=true", "data=array", "data.path={tmp}/kspace.npy"],
    "latent=guided": ["latent.path={tmp}/observed.png"],
    "data=array": ["data.path={tmp}/scan.npy", "task.given=true"],
    "data=phantom": ["data.size=24"],
    "data=sources": ["data.paths=[{tmp}/clip/one_1.png,{tmp}/clip/one_2.png]", "task=fusion"],
    "data=pairs": ["data.path={tmp}/clip", "task=fusion"],
    "data=video": ["data.path={tmp}/clip"],
}
# The pictures (N, C, 17, 20) of those that do not take one in colour.
SHAPES = {"task=fusion": (2, 3), "video=": (4, 3), "regularizer=temporal": (4, 3), "regularizer=flow": (4, 3)}
SETS = {path.stem: OmegaConf.load(path).folders for path in (CONFIGS / "data").glob("*.yaml")
        if "folders:" in path.read_text()}
NEEDS |= {f"data={name}": ["data.root={tmp}/sets", "data.name=one"] for name in SETS}
HOSTS = {"noise": "denoise", "mask": "inpaint", "kernel": "super_resolution", "observe": "super_resolution",
         "misfit": "denoise", "operators": "chain", "psf": "deblur", "sampling": "mri"}
OTHER_HOSTS = {"observe/circular": "deblur", "observe/jpeg": "jpeg", "misfit/guided": "guided", "misfit/jpeg": "jpeg",
               "misfit/jpeg_interval": "jpeg"}
OTHER_HOSTS |= {f"misfit/{path.stem}": "fusion" for path in (CONFIGS / "task" / "misfit").glob("fuse_*.yaml")}
KEYS = set(
    "task net latent optimizer stopping regularizer data seed status error iterations chosen_iteration stop_reason "
    "psnr ssim psnr_y psnr_output psnr_average psnr_last psnr_peak peak_iteration psnr_observed seconds "
    "seconds_per_iteration peak_memory_mb device precision parameters config_hash versions".split()
)
pytestmark = pytest.mark.usefixtures("one_thread")


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def cases() -> list[list[str]]:
    elsewhere = ("logger", "baseline", "experiment")  # tests/loggers, tests/baselines
    groups = [group for group in PACKAGES if group not in elsewhere]
    found = [[f"{group}={option}"] for group in groups for option in options(group)]
    found += [[f"optimizer/schedule={option}"] for option in options("optimizer/schedule")]
    found += [["regularizer=[tv,edge]"]]
    found += [["regularizer=red", f"regularizer/red/denoiser={o}"] for o in options("regularizer/red/denoiser")]
    for folder in sorted(path for path in (CONFIGS / "task").iterdir() if path.is_dir()):
        for option in options(f"task/{folder.name}"):
            host = OTHER_HOSTS.get(f"{folder.name}/{option}", HOSTS[folder.name])
            found.append([f"task={host}", f"task/{folder.name}={option}"])
    return found


@pytest.fixture
def picture() -> Picture:
    """20 x 17 px whose left quarter is transparent."""
    alpha = torch.ones(1, 1, 17, 20)
    alpha[..., :5] = 0
    return Picture("sample", torch.rand(1, 3, 17, 20, generator=torch.Generator().manual_seed(1)), alpha)


@pytest.mark.parametrize("overrides", cases(), ids=" ".join)
def test_every_option_runs(overrides, picture, tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("L", (20, 17), 255).save(tmp_path / "holes.png")
    Image.new("RGB", (20, 17), "grey").save(tmp_path / "observed.png")
    Image.radial_gradient("L").resize((24, 18)).save(tmp_path / "pictures" / "one.png")
    if overrides[0].removeprefix("data=") in SETS:
        folder = tmp_path / "sets" / SETS[overrides[0].removeprefix("data=")][0]
        folder.mkdir(parents=True)
        (tmp_path / "pictures" / "one.png").rename(folder / "one.png")
    for number in (1, 2):
        (tmp_path / "clip").mkdir(exist_ok=True)
        Image.radial_gradient("L").resize((24, 18)).save(tmp_path / "clip" / f"one_{number}.png")
    np.save(tmp_path / "kspace.npy", np.fft.fft2(np.arange(340.0).reshape(17, 20) / 340))
    np.save(tmp_path / "scan.npy", np.linspace(0, 1, 17 * 20, dtype=np.float32).reshape(17, 20))
    if "task=deepinv" in overrides:
        pytest.importorskip("deepinv")
    for start, shape in SHAPES.items():
        if any(override.startswith(start) for override in overrides):
            pixels = torch.rand(*shape, 17, 20, generator=torch.Generator().manual_seed(1))
            picture = Picture("sample", pixels, selection=slice(0, None, 1))
    more = [text.format(tmp=tmp_path) for override in overrides for text in NEEDS.get(override, [])]
    narrow = [] if overrides[0].startswith("net=") else ["net.width=4"]
    cfg = compose([*SHORT, *narrow, *overrides, *more])
    OmegaConf.to_container(cfg.data, resolve=True, throw_on_missing="data=" in overrides[0])
    given = None if any(text.startswith("data=") for text in [*overrides, *more]) else picture

    restoration = fit(cfg, cfg.hydra.runtime.choices, None, given)

    size = {"data=sample": (3, 24, 24), "data=file": (1, 12, 16), "data=folder": (1, 18, 24)}
    size |= {f"data={name}": (1, 18, 24) for name in SETS}
    size |= {"data=array": (1, 17, 20), "data=phantom": (1, 24, 24), "data=sources": (1, 18, 24),
             "data=pairs": (1, 18, 24), "data=video": (1, 18, 24)}
    frames = {"data=video": 2}.get(overrides[0], len(picture.pixels) if "fusion" not in str(overrides) else 1)
    channels = 1 if "task/sampling=observed" in overrides else 3
    assert restoration.image.shape == (frames, *size.get(overrides[0], (channels, 17, 20)))
    assert restoration.image.isfinite().all()
    assert restoration.summary.keys() >= KEYS
    fits = frames if "video=per_frame" in overrides else 1
    assert restoration.summary["status"] == "done" and restoration.summary["iterations"] == 3 * fits
    assert [row["iteration"] for row in restoration.history.rows] == [1, 2, 3]


def test_every_folder_of_task_has_a_host_here():
    assert HOSTS.keys() == {path.name for path in (CONFIGS / "task").iterdir() if path.is_dir()}


def test_a_folder_gets_the_files_of_the_design(picture, tmp_path):
    cfg = compose([*SHORT, "net.width=4", "task=super_resolution"])
    fit(cfg, cfg.hydra.runtime.choices, tmp_path, picture)
    stem = "dip_superres_x4"
    names = {f"{stem}.png", f"{stem}_curves.png", f"{stem}_panel.png", "observed.png", "target.png", "latent.png",
             "history.csv", "snapshots", "result.json"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["000002.png"]
    with Image.open(tmp_path / f"{stem}.png") as image:
        assert image.size == (20, 17)
    result = runs.read_result(tmp_path)
    assert result["status"] == "done" and result["psnr_y"] is not None and result.keys() >= KEYS


@pytest.mark.parametrize("name", sorted(p.relative_to(CONFIGS / "experiment").with_suffix("").as_posix()
                                        for p in (CONFIGS / "experiment").rglob("*.yaml")))
def test_every_experiment_composes(name):
    cfg = compose([f"experiment={name}"])
    params = cfg.hydra.sweeper.params
    first = {key: str(values).split(",")[0] for key, values in (params or {}).items() if "glob" not in str(values)}
    cell = compose([f"experiment={name}", *(f"{key}={value}" for key, value in first.items())])
    OmegaConf.to_container(cell.task, resolve=True)
    assert not params or cfg.hydra.mode.name == "MULTIRUN", "a table needs hydra.mode: MULTIRUN"


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def test_the_first_line_says_what_it_is(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) > 10


def targets(node):
    if OmegaConf.is_dict(node):
        if "_target_" in node:
            yield node["_target_"]
        for key in node:
            if not OmegaConf.is_interpolation(node, key) and not OmegaConf.is_missing(node, key):
                yield from targets(node[key])


@pytest.mark.parametrize("group", PACKAGES)
def test_groups_mirror_packages(group):
    for path in (CONFIGS / group).rglob("*.yaml"):
        for target in targets(OmegaConf.load(path)):
            if target.startswith("dip_lab."):
                assert target.startswith(f"dip_lab.{PACKAGES[group]}."), f"{path}: {target}"


def test_every_group_is_known_here_and_to_the_command_line():
    from dip_lab.cli import GROUPS

    assert {path.name for path in CONFIGS.iterdir() if path.is_dir()} == PACKAGES.keys() == set(GROUPS)


def test_the_root_stays_short():
    assert len((CONFIGS / "run.yaml").read_text().splitlines()) <= 40
