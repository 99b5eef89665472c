"""Every shipped YAML runs on its task, and refuses the others."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

TASKS = {
    "nlm": "denoise", "nlm_slow": "denoise", "median": "denoise", "wavelet": "denoise", "tv": "denoise",
    "nearest": "super_resolution", "bilinear": "super_resolution", "bicubic": "super_resolution",
    "lanczos": "super_resolution", "voronoi": "inpaint", "biharmonic": "inpaint", "tv_published": "inpaint",
    "pixels": "inpaint", "wiener": "deblur", "bilinear_demosaic": "demosaic", "cubic": "inpaint", "telea": "inpaint",
    "navier_stokes": "inpaint", "patchmatch": "inpaint",
}
PACKAGES = {"telea": "cv2", "navier_stokes": "cv2", "patchmatch": "patchmatch"}  # of the extras
TRIED = [pytest.param(name, marks=pytest.mark.skipif(name in PACKAGES and not find_spec(PACKAGES[name]),
                                                     reason=f"needs the package {PACKAGES.get(name)}"))
         for name in TASKS]
ANY_TASK = ("tv", "tv_published", "pixels")
ELSEWHERE = {"none", "published", "bm3d", "mean", "maximum", "laplacian", "fbp", "zero_filled",  # other tests
             "trained", "dncnn", "denoiser", "gan", "pixelcnn_map"}
FEW = {"tv": ["baseline.iterations=100"], **dict.fromkeys(("tv_published", "pixels"), ["baseline.iterations=300"])}


def test_every_yaml_is_tried_here():
    folder = Path(__file__).resolve().parents[2] / "configs" / "baseline"
    assert {path.stem for path in folder.glob("*.yaml")} == TASKS.keys() | ELSEWHERE


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TRIED)
def test_shape_and_range_and_better_than_the_observation(name, channels, face, problem_of, baseline_of):
    if (name, channels) == ("bilinear_demosaic", 1):
        pytest.skip("a grey picture has no mosaic of colours")
    problem = problem_of(face(33, 47, channels), f"task={TASKS[name]}")
    observation = problem.observation.clone()
    baseline = baseline_of(name, *FEW.get(name, []))
    image = baseline(problem)
    assert image.shape == problem.image_shape == (1, channels, 33, 47)
    assert image.dtype == torch.float32 and not image.requires_grad
    assert image.min() >= 0 and image.max() <= 1
    assert torch.equal(image, baseline(problem)), "another result the second time"
    assert torch.equal(problem.observation, observation), "it wrote into the observation"
    if name not in ("nearest", "bilinear_demosaic"):  # these are what is shown of the observation already
        before = baseline_of("nearest")(problem) if TASKS[name] == "super_resolution" else problem.observed()
        assert problem.scores(image)["psnr"] > problem.scores(before)["psnr"] + 0.5


@pytest.mark.parametrize("name", TRIED)
def test_the_target_is_not_looked_at(name, face, problem_of, baseline_of):
    problem = problem_of(face(), f"task={TASKS[name]}")
    baseline = baseline_of(name, *FEW.get(name, []))
    image, problem.target = baseline(problem), None
    assert torch.equal(image, baseline(problem))


@pytest.mark.parametrize("task, other", [("denoise", "nlm"), ("inpaint", "biharmonic"),
                                         ("super_resolution", "lanczos")])
@pytest.mark.parametrize("name", [*TASKS, "bm3d"])
def test_other_tasks_are_refused(name, task, other, face, problem_of, baseline_of):
    own = TASKS.get(name, "denoise")
    if name not in ANY_TASK and own != task:
        called = name.removesuffix("_slow")
        with pytest.raises(ValueError, match=f"^baseline={called} works for task={own} only: try baseline={other}$"):
            baseline_of(name)(problem_of(face(), f"task={task}"))


@pytest.mark.parametrize("name, override, message", [
    ("nlm", "baseline.patch=0", r"baseline\.patch=0: give a whole number of at least 1"),
    ("nlm", "baseline.distance=1.5", r"baseline\.distance=1\.5: give a whole number"),
    ("nlm", "baseline.h=0", r"baseline\.h=0: give a number above 0"),
    ("nlm", "baseline.fast=maybe", r"baseline\.fast=maybe: choose true or false"),
    ("nlm", "baseline.per_channel=1", r"baseline\.per_channel=1: choose true or false"),
    ("median", "baseline.size=0", r"baseline\.size=0: give a whole number of at least 1"),
    ("wavelet", "baseline.wavelet=haare", r"baseline\.wavelet=haare: give an orthogonal wavelet"),
    ("wavelet", "baseline.wavelet=bior6.8", r"baseline\.wavelet=bior6\.8: give an orthogonal wavelet"),
    ("wavelet", "baseline.levels=0", r"baseline\.levels=0: give a whole number of at least 1"),
    ("bicubic", "baseline.filter=cubic", r"baseline\.filter=cubic: choose nearest, bilinear, bicubic or lanczos"),
    ("tv", "baseline.weight=-1", r"baseline\.weight=-1: give a number at least 0"),
    ("tv", "baseline.iterations=0", r"baseline\.iterations=0: give a whole number of at least 1"),
    ("tv", "baseline.lr=0", r"baseline\.lr=0: give a number above 0"),
    ("telea", "baseline.method=fluid", r"baseline\.method=fluid: choose telea or navier_stokes"),
    ("navier_stokes", "baseline.radius=0", r"baseline\.radius=0: give a number at least 1 and at most 100"),
    ("patchmatch", "baseline.patch_size=0", r"baseline\.patch_size=0: give a whole number from 1 to 50"),
    ("patchmatch", "baseline.seed=one", r"baseline\.seed=one: give a whole number"),
])
def test_wrong_values(name, override, message, face, problem_of, baseline_of):
    with pytest.raises(ValueError, match=message):
        baseline_of(name, override)(problem_of(face(), f"task={TASKS[name]}"))
