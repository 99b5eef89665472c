"""Every YAML of configs/task composes, instantiates and makes a problem of a tiny picture."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from dip_lab.build import build_problem
from dip_lab.instantiate import instantiate
from dip_lab.png import encode_png

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def options(group):
    return sorted(path.stem for path in (CONFIGS / "task" / group).glob("*.yaml"))


def task(root, *overrides) -> DictConfig:
    (root / "root.yaml").write_text("defaults:\n  - _self_\n  - task: denoise\n")
    search = f"hydra.searchpath=[file://{CONFIGS}]"
    with initialize_config_dir(str(root), version_base="1.3"):
        return compose("root", [*overrides, search]).task


OF_OTHER_TASKS = ("circular", "jpeg", "jpeg_interval", "guided")  # all options run in tests/test_configs.py
CASES = [["task=denoise"], ["task=inpaint"], ["task=super_resolution"]] + [
    [f"task={name}", f"task/{group}={option}"]
    for name, groups in {
        "denoise": ["noise"],
        "super_resolution": ["kernel", "observe", "noise"],
        "inpaint": ["mask", "noise"],
    }.items()
    for group in groups
    for option in options(group) if option not in OF_OTHER_TASKS
]


@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_every_option_makes_a_problem(overrides, tmp_path, picture):
    if "task/mask=file" in overrides:
        from PIL import Image

        Image.linear_gradient("L").point(lambda level: 255 * (level > 99)).resize((20, 17), 0).save(tmp_path / "m.png")
        overrides = [*overrides, f"task.mask.path={tmp_path / 'm.png'}"]
    if "task/mask=color" in overrides:
        overrides = [*overrides, "task.mask.color=grey", "task.mask.tolerance=60"]
    if "task/mask=observed" in overrides:
        (tmp_path / "y.png").write_bytes(encode_png(torch.rand(1, 3, 17, 20) * torch.ones(17, 20).triu()))
        overrides = [*overrides, f"task.observation={tmp_path / 'y.png'}"]
    alpha = torch.ones(1, 1, 17, 20)
    alpha[..., :5] = 0
    cfg = task(tmp_path, *overrides)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    problem = build_problem(cfg, picture(17, 20, alpha=alpha), seed=0)
    assert problem.image_shape == (1, 3, 17, 20)
    misfit = problem.misfit(torch.rand(1, 3, 17, 20))
    assert misfit.isfinite() and misfit.dtype == torch.float32
    assert problem.observed().shape == problem.image_shape
    if problem.target is not None:
        assert {"psnr", "ssim"} <= problem.scores(problem.observed()).keys()


@pytest.mark.parametrize("name", ["denoise", "super_resolution", "inpaint"])
def test_given_pictures_have_no_target(name, tmp_path, picture):
    problem = build_problem(task(tmp_path, f"task={name}", "task.given=true"), picture(17, 20), seed=0)
    factor = 4 if name == "super_resolution" else 1
    assert problem.target is None and problem.image_shape == (1, 3, 17 * factor, 20 * factor)
    assert problem.misfit(torch.rand(problem.image_shape)).isfinite()


def test_knobs_reach_their_places(tmp_path):
    assert task(tmp_path, "task.sigma=50").noise.sigma == 50
    assert task(tmp_path, "task=inpaint", "task/noise=gaussian").noise.sigma == 25
    assert task(tmp_path, "task=inpaint", "task/noise=gaussian", "task.noise.sigma=10").noise.sigma == 10
    large = task(tmp_path, "task=super_resolution", "task.factor=8")
    assert large.answer == "dip_superres_x8" and large.operator.factor == large.observe.factor == 8
    assert instantiate(large.operator).kernel.lobes == 2
    assert task(tmp_path, "task=inpaint", "task.mask.path=holes.png").operator.mask.path == "holes.png"


@pytest.mark.parametrize("path", sorted((CONFIGS / "task").rglob("*.yaml")), ids=lambda p: p.stem)
def test_first_line_says_what_it_is(path):
    assert path.read_text().startswith("# ")
