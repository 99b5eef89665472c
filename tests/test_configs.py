"""Every shipped YAML runs: composed with Hydra, each group varied one at a time, and fitted for 3 iterations."""

import dataclasses

import pytest
from needs import CONFIGS, host_of, images_for, needed, options, write_files
from omegaconf import OmegaConf
from PIL import Image

from dip_lab.build import load_images
from dip_lab.catalogue import GROUPS
from dip_lab.compose import cell_at, compose
from dip_lab.experiment import run
from dip_lab.results.summary import ANSWER, Summary
from dip_lab.runs.folder import read_result

PACKAGE = CONFIGS.parent / "dip_lab"
YAMLS = sorted(CONFIGS.rglob("*.yaml"))
SHORT = ["logger=none", "iterations=3", "log_every=1", "log_every_image=2", "device=cpu", "precision=float32"]
KEYS = {field.name for field in dataclasses.fields(Summary)} - {"cell", "scores", "output", "average", "own"}
KEYS |= {*ANSWER, "task", "net", "data", "seed", "config_hash"}
ELSEWHERE = ("logger", "baseline", "experiment", "objective")  # tests/loggers, tests/baselines, below, tests/training
pytestmark = pytest.mark.usefixtures("one_thread")


def package_of(group: str) -> str | None:
    """The package behind a group, named like it or its plural; None where the code is Lightning's, or one module."""
    return next((name for name in (group, f"{group}s") if (PACKAGE / name).is_dir()), None)


def cases() -> list[list[str]]:
    found = [[f"{group}={option}"] for group in GROUPS if group not in ELSEWHERE for option in options(group)]
    for folder in ("splits/tiles", "descent/schedule", "descent/stages"):
        found += [[f"{folder}={option}"] for option in options(folder)]
    found += [["regularizer=[tv,edge]"]]
    found += [[f"regularizer={kind}", f"regularizer/{kind}/denoiser={option}"] for kind in ("red", "pnp")
              for option in options(f"regularizer/{kind}/denoiser")]
    for folder in sorted(path.name for path in (CONFIGS / "task").iterdir() if path.is_dir()):
        found += [[f"task={host_of(folder, option)}", f"task/{folder}={option}"]
                  for option in options(f"task/{folder}")]
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.mark.parametrize("overrides", cases(), ids=" ".join)
def test_every_option_runs(overrides, files, monkeypatch):
    monkeypatch.setenv("DIP_LAB_TARGETS", "deepinv")
    for package in ("deepinv", "bm3d"):
        if any(text.endswith(f"={package}") for text in overrides):
            pytest.importorskip(package)
    more = needed(overrides, files)
    narrow = [] if overrides[0].startswith("net=") else ["net.width=4"]
    cfg = compose([*SHORT, *narrow, *overrides, *more])
    loads = any(text.startswith("data=") for text in [*overrides, *more])
    images = None if loads else images_for(cfg, 17, 20, clip=overrides[0].startswith("video="))

    restoration = run(cfg, cell_at(cfg, cfg.hydra, None), images)

    count, _, height, width = restoration.image.shape
    if images is not None:
        frames = 1 if cfg.hydra.runtime.choices.task == "fusion" else len(images.pixels)
        assert (count, height, width) == (frames, 17, 20)
    assert restoration.image.isfinite().all()
    assert restoration.summary.keys() >= KEYS
    assert restoration.summary["status"] == "done" and restoration.summary["iterations"] == 3
    assert [row["iteration"] for row in restoration.history.rows] == [1, 2, 3]


SIZES = {"sample": (24, 24), "phantom": (24, 24), "array": (17, 20), "file": (12, 16)}  # all others are 18 x 24


@pytest.mark.parametrize("data", options("data"))
def test_a_source_loads_what_it_names(data, files):
    cfg = compose([*SHORT, f"data={data}", *needed([f"data={data}"], files)])
    OmegaConf.to_container(cfg.data, resolve=True, throw_on_missing=True)
    images = load_images(cfg.data)
    assert images.pixels.shape[-2:] == SIZES.get(data, (18, 24))
    assert images.name == cell_at(cfg, cfg.hydra, None).picture or data in ("folder", "pairs")


def test_a_folder_gets_the_files_of_the_design(tmp_path):
    cfg = compose([*SHORT, "net.width=4", "task=super_resolution"])
    run(cfg, cell_at(cfg, cfg.hydra, tmp_path), images_for(cfg, 17, 20))
    stem = "dip_superres_x4"
    names = {f"{stem}.png", f"{stem}_curves.png", f"{stem}_panel.png", "observed.png", "target.png", "latent.png",
             "history.csv", "snapshots", "result.json"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["000002.png"]
    with Image.open(tmp_path / f"{stem}.png") as image:
        assert image.size == (20, 17)
    result = read_result(tmp_path)
    assert result["status"] == "done" and result["psnr_y"] is not None and result.keys() >= KEYS


@pytest.mark.parametrize("name", sorted(p.relative_to(CONFIGS / "experiment").with_suffix("").as_posix()
                                        for p in (CONFIGS / "experiment").rglob("*.yaml")))
def test_every_experiment_composes(name):
    text = (CONFIGS / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    primary = "train" if "for scripts/train.py" in text else "run"
    cfg = compose([f"experiment={name}"], name=primary)
    params = cfg.hydra.sweeper.params
    for each in params if OmegaConf.is_list(params) else [params or {}]:
        first = {key: str(values).split(",")[0] for key, values in each.items() if "glob" not in str(values)}
        cell = compose([f"experiment={name}", *(f"{key}={value}" for key, value in first.items())], name=primary)
        OmegaConf.to_container(cell.task, resolve=True)
    assert not params or cfg.hydra.mode.name == "MULTIRUN", "a table needs hydra.mode: MULTIRUN"


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def test_the_first_line_says_what_it_is(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) > 10


@pytest.mark.parametrize("name", sorted(p.relative_to(CONFIGS / "experiment").with_suffix("").as_posix()
                                        for folder in ("published", "paper")
                                        for p in (CONFIGS / "experiment" / folder).glob("*.yaml")))
def test_the_published_fits_are_not_touched_by_the_default(name):
    cfg = compose([f"experiment={name}"])
    assert cfg.optimizer._target_ == "torch.optim.Adam" and cfg.net.get("outer_skip", True)
    assert cfg.average.get("decay", 0.99) == 0.99 and not cfg.latent.get("ramp")


def targets(node):
    if OmegaConf.is_dict(node):
        if "_target_" in node:
            yield node["_target_"]
        for key in node:
            if not OmegaConf.is_interpolation(node, key) and not OmegaConf.is_missing(node, key):
                yield from targets(node[key])


@pytest.mark.parametrize("group", GROUPS)
def test_groups_mirror_packages(group):
    for path in (CONFIGS / group).rglob("*.yaml"):
        for target in targets(OmegaConf.load(path)):
            if target.startswith("dip_lab."):
                assert target.startswith(f"dip_lab.{package_of(group)}."), f"{path}: {target}"


def test_every_group_is_known_to_the_command_line():
    assert {path.name for path in CONFIGS.iterdir() if path.is_dir()} == set(GROUPS)


def test_the_root_stays_short():
    assert len((CONFIGS / "run.yaml").read_text().splitlines()) <= 40
