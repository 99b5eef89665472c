"""Guided restoration: its misfit, its latent and its task."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from dip_lab.build import build_net, build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.png import encode_png
from dip_lab.tasks.guided import Guided, variation


def two(height=11, width=14):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 1, 3, height, width, generator=generator).unbind()


def guided(**weights) -> Guided:
    return Guided(**{"mse": 0, "l1": 0, "edge": 0, "tv": 0} | weights)


def test_each_term_against_numpy_and_scipy():
    x, y = two()
    residual = (x - y)[0].double().numpy()
    assert float(guided(mse=1)(x, y, None)) == pytest.approx((residual**2).mean(), rel=1e-5)
    assert float(guided(l1=1)(x, y, None)) == pytest.approx(np.abs(residual).mean(), rel=1e-5)
    slopes = [np.abs(ndimage.sobel(plane, axis))[1:-1, 1:-1].mean() / 8 for plane in residual for axis in (0, 1)]
    assert float(guided(edge=1)(x, y, None)) == pytest.approx(2 * np.mean(slopes), rel=1e-5)
    image = x[0].double().numpy()
    expected = np.abs(np.diff(image, axis=1)).mean() + np.abs(np.diff(image, axis=2)).mean()
    assert float(variation(x)) == pytest.approx(expected, rel=1e-5)
    assert float(guided(mse=1, tv=1)(x, x, None)) == pytest.approx(expected, rel=1e-5)


def test_the_terms_add_up():
    x, y = two()
    parts = {"mse": 2.0, "l1": 0.3, "edge": 0.7}
    total = sum(guided(**{name: weight})(x, y, None) for name, weight in parts.items()) + 0.1 * variation(x)
    assert float(guided(**parts, tv=0.1)(x, y, None)) == pytest.approx(float(total), rel=1e-5)


def test_a_ramp_has_the_slope_one_in_both_gradients():
    ramp = torch.arange(8.0).expand(1, 1, 6, 8)
    assert float(guided(edge=1)(ramp, torch.zeros_like(ramp), None)) == pytest.approx(1)
    assert float(variation(ramp)) == pytest.approx(1)


def test_what_does_not_count_pulls_nothing():
    x, y = two()
    counted = torch.ones(1, 1, 11, 14)
    counted[..., 4:8, 3:9] = 0
    changed = torch.where(counted > 0, y, torch.rand_like(y))
    misfit = guided(mse=1, l1=1, edge=1)
    assert torch.equal(misfit(x, y, counted), misfit(x, changed, counted))
    assert misfit(x, y, counted) < misfit(x, y, None)
    x.requires_grad_()
    misfit(x, y, counted).backward()
    assert not x.grad[(counted == 0).expand_as(x)].any() and x.grad.isfinite().all()


def test_float32_whatever_the_precision():
    x, y = two()
    loss = guided(mse=1, l1=1, edge=1, tv=1)(x.bfloat16(), y, None)
    assert loss.dtype == torch.float32 and loss.ndim == 0


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match=r"^task.misfit.edge=-1: give a number at least 0"):
        guided(mse=1, edge=-1)
    with pytest.raises(ValueError, match="^task.misfit.mse=0: mse, l1 and edge are all 0"):
        guided(tv=1)


def compose_guided(*overrides):
    return compose(["task=guided", "task.guide=flash.png", *overrides])


def test_the_task_chooses_its_latent_whatever_the_net_wants():
    for net in ("skip", "skip_vase"):
        latent = compose_guided(f"net={net}").latent
        assert latent._target_.endswith("Guide") and latent.path == "flash.png" and latent.noise_depth == 32
    assert compose_guided("latent=image", "latent.path=other.png").latent.path == "other.png"


@pytest.mark.parametrize(("operators", "shape"), [("none", (17, 20)), ("downsample", (9, 10)), ("masking", (17, 20)),
                                                  ("[blur,masking]", (17, 20))])
def test_the_picture_may_be_degraded(operators, shape):
    picture = Images("sample", torch.rand(1, 3, 17, 20))
    task = compose_guided(f"task/operators={operators}", "task.factor=2", "task/noise=gaussian").task
    problem = build_problem(task, picture, seed=0)
    assert problem.observation.shape[-2:] == shape and problem.image_shape == (1, 3, 17, 20)
    assert isinstance(problem.measure, Guided) and problem.misfit(picture.pixels).isfinite()


def test_a_fit_sees_the_guide(tmp_path, fit_tiny, picture_of_guide):
    restoration = fit_tiny("task=guided", f"task.guide={picture_of_guide}", "task/noise=gaussian", "iterations=20",
                           folder=tmp_path / "run")
    assert restoration.image.shape == (1, 3, 16, 16) and restoration.summary["latent"] == "guided"
    assert (tmp_path / "run" / "dip_guided.png").is_file()


@pytest.fixture
def picture_of_guide(tmp_path):
    path = tmp_path / "flash.png"
    path.write_bytes(encode_png(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(5))))
    return path


def test_the_published_settings():
    cfg = compose(["experiment=paper/flash"])
    assert cfg.iterations == 601 and cfg.optimizer.lr == 0.1 and cfg.latent.noise_depth == cfg.latent.jitter == 0
    assert cfg.latent.path.endswith("cave01_00_flash.jpg") and cfg.data.name == "cave01_01_noflash" and cfg.task.given
    net = build_net(cfg, 3, 3)
    # published: 2 184 307, whose inner batch norms are at the same places
    assert sum(weight.numel() for weight in net.parameters()) == 2184307


def test_errors_at_the_prompt(command, tmp_path, picture_of_guide):
    quick = ("data.size=16", "logger=none", "iterations=1")
    code, printed = command("task=guided", *quick)
    assert code == 2 and "task.guide has no value: give task.guide=flash.png" in printed
    code, printed = command("task=guided", "task.guide=nowhere.png", *quick)
    assert code == 2 and "nowhere.png" in printed
    Image.new("RGB", (16, 17)).save("other.png")
    code, printed = command("task=guided", "task.guide=other.png", *quick)
    assert code == 2 and "16 x 17 px and the restoration 16 x 16" in printed
