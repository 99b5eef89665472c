"""Any module as the operator; deepinv's where it is installed."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.tasks.custom import Custom, DeepinvPhysics, Pseudoinverse
from dip_lab.tasks.operators import prepare
from dip_lab.tasks.views import Clamped


class Projection(nn.Module):
    """Random measurements (N, m) of a picture."""

    def __init__(self, shape, m):
        super().__init__()
        self.linear = nn.Linear(torch.Size(shape).numel(), m, bias=False)

    def forward(self, image):
        return self.linear(image.flatten(1))


def sample(height=17, width=23, channels=3) -> Images:
    return Images("sample", torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1)))


def prepared(module, picture=None, image_shape=None, given=False) -> Custom:
    operator = Custom(module, image_shape)
    prepare(operator, picture or sample(), seed=0, given=given)
    return operator


MODULES = {
    "pooled": lambda: nn.AvgPool2d(2),
    "convolved": lambda: nn.Conv2d(3, 2, 3, padding=1, bias=False),
    "projected": lambda: Projection((3, 17, 23), 50),
    "summed over channels": lambda: lambda image: image.sum(1),
    "a function": lambda: lambda image: image.flip(-1),
}


@pytest.mark.parametrize("name", MODULES)
def test_adjoint(name):
    operator, generator = prepared(MODULES[name]()).double(), torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 17, 23, generator=generator, dtype=torch.float64)
    y = operator(x)
    u = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    assert y.ndim == 4 and y.dtype == torch.float64 and operator.adjoint(u).shape == x.shape
    assert torch.allclose((y * u).sum(), (x * operator.adjoint(u)).sum(), rtol=1e-10, atol=1e-10)
    assert operator.image_shape(tuple(y.shape[1:])) == (3, 17, 23)
    shown = Clamped().observed(operator(sample().pixels.double()), operator)
    assert shown.shape == (1, 3, 17, 23) and 0 <= shown.min() and shown.max() <= 1


def test_it_is_the_module():
    x = sample().pixels
    assert torch.equal(prepared(nn.AvgPool2d(2))(x), F.avg_pool2d(x, 2))
    projection = Projection((3, 17, 23), 50)
    assert torch.equal(prepared(projection)(x), projection(x)[:, None, None])


def test_weights_stay_as_they_are_and_modules_are_in_evaluation_mode():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(0.5))
    operator = prepared(module)
    x = sample().pixels.requires_grad_()
    assert torch.equal(operator(x), operator(x))
    operator(x).sum().backward()
    assert x.grad is not None and all(weight.grad is None for weight in operator.parameters())


def test_computed_in_float32_under_autocast():
    operator, x = prepared(nn.Conv2d(3, 3, 3)), sample().pixels
    expected = operator(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(operator(x), expected)
        assert operator(x.bfloat16()).dtype == torch.float32


def test_random_weights_are_a_function_of_the_seed():
    node = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 3}
    state = torch.get_rng_state()
    made = []
    for seed in (0, 0, 1):
        operator = Custom(dict(node), None)
        prepare(operator, sample(), seed, given=False)
        made.append(operator.module.weight)
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_shown_without_a_restoration():
    x = sample(16, 24).pixels
    view = Clamped()
    assert torch.equal(view.observed(3 * x, prepared(nn.Identity(), sample(16, 24))), (3 * x).clamp(0, 1))
    pooled = prepared(nn.AvgPool2d(2), sample(16, 24))
    expected = F.interpolate(pooled(x), (16, 24), mode="bilinear", antialias=True)
    assert torch.allclose(view.observed(pooled(x), pooled), expected)
    grey = prepared(lambda image: image.mean(1, keepdim=True), sample(16, 24))
    assert torch.equal(view.observed(grey(x), grey), grey(x).expand(1, 3, 16, 24))
    projected = prepared(Projection((3, 16, 24), 50), sample(16, 24))
    back = view.observed(projected(x), projected)
    adjoint = (projected(x)[0, 0, 0] @ projected.module.linear.weight).reshape(1, 3, 16, 24)
    assert torch.allclose(back, (adjoint - adjoint.min()) / (adjoint.max() - adjoint.min()), atol=1e-5)


def test_a_picture_that_is_degraded_already():
    picture = sample(8, 9)
    blurred = prepared(nn.AvgPool2d(3, stride=1, padding=1), picture, given=True)
    assert blurred.image_shape((3, 8, 9)) == (3, 8, 9) and torch.equal(blurred.given(picture.pixels), picture.pixels)
    small = prepared(nn.AvgPool2d(2), picture, [3, 16, 19], given=True)
    assert small.image_shape((3, 8, 9)) == (3, 16, 19)
    for shape in (None, [3, 20, 20], [3, 8]):
        with pytest.raises(ValueError, match=rf"^task.operator.image_shape={'null' if shape is None else '.3, '}.*"
                                             rf"AvgPool2d does not make a picture of shape \[3, 8, 9\]"):
            prepared(nn.AvgPool2d(2), picture, shape, given=True)


@pytest.mark.parametrize(("module", "message"), [
    (nn.Conv2d(1, 1, 3), r"Conv2d does not take a picture of shape \[1, 3, 17, 23\]: .*channels"),
    (lambda image: None, "makes NoneType from a picture"),
    (lambda image: image > 0, r"makes bool of shape \[1, 3, 17, 23\] from a picture"),
    (torch.fft.fft2, "makes complex64 of shape"),
    (lambda image: image[None], r"makes float32 of shape \[1, 1, 3, 17, 23\]"),
    (torch.sum, r"sum makes float32 of shape \[\]"),
])
def test_what_cannot_be_an_operator_is_refused_in_one_line(module, message):
    with pytest.raises(ValueError, match=f"^task.operator.module: .*{message}") as caught:
        prepared(module)
    assert "\n" not in str(caught.value)


def test_one_line_at_the_prompt(fit_tiny):
    restoration = fit_tiny("task=custom", "task.operator.module={_target_:torch.nn.AvgPool2d,kernel_size:2}",
                           "iterations=20")
    assert restoration.image.shape == (1, 3, 16, 16) and restoration.summary["psnr"] is not None


def test_errors_at_the_prompt(command, tmp_path):
    quick = ("data.size=16", "logger=none")
    code, printed = command("task=custom", *quick)
    assert code == 2 and "operator.module has no value" in printed
    code, printed = command("task=custom", "task.operator.module={_target_:os.path.join}", *quick)
    assert code == 2 and "DIP_LAB_TARGETS" in printed
    code, printed = command("task=custom", "task.operator.module={_target_:torch.nn.AvgPool2d,kernel:2}", *quick)
    assert code == 2 and "did you mean kernel_size?" in printed
    Image.new("RGB", (16, 16)).save(tmp_path / "small.png")
    code, printed = command("task=custom", "task.operator.module={_target_:torch.nn.AvgPool2d,kernel_size:2}",
                            "data=file", "data.path=small.png", "task.given=true", "logger=none")
    assert code == 2
    assert "task.operator.image_shape=null: AvgPool2d does not make a picture of shape [3, 16, 16]" in printed


PHYSICS = {
    "blur": ("Blur", {"filter": {"_target_": "deepinv.physics.blur.gaussian_blur", "sigma": 1.0}}),
    "circular": ("BlurFFT", {"img_size": [3, 17, 23], "filter": {"_target_": "deepinv.physics.blur.gaussian_blur",
                                                                 "sigma": 1.0}}),
    "holes": ("Inpainting", {"img_size": [3, 17, 23], "mask": 0.5}),
    "projected": ("CompressedSensing", {"img_size": [3, 17, 23], "m": 60}),
}


@pytest.mark.parametrize("name", PHYSICS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_deepinv(name, monkeypatch):
    pytest.importorskip("deepinv")
    monkeypatch.setenv("DIP_LAB_TARGETS", "deepinv")
    cls, options = PHYSICS[name]
    operators = []
    for seed in (0, 0, 1):
        operator = DeepinvPhysics({"_target_": f"deepinv.physics.{cls}", **options}, None)
        prepare(operator, sample(), seed, given=False)
        operators.append(operator)
    operator, x = operators[0], sample().pixels
    assert torch.equal(operator(x), operators[1](x))
    y = operator(x)
    assert torch.allclose(y.flatten(), operator.module.A(x).flatten())
    u = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose((y * u).sum(), (x * operator.adjoint(u)).sum(), rtol=1e-3, atol=1e-3)
    shown = Pseudoinverse().observed(y, operator)
    assert shown.shape == x.shape and 0 <= shown.min() and shown.max() <= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_deepinv_at_the_prompt(monkeypatch):
    pytest.importorskip("deepinv")
    monkeypatch.setenv("DIP_LAB_TARGETS", "deepinv")
    task = compose(["task=deepinv", "task/noise=gaussian",
                    "task.operator.physics={_target_:deepinv.physics.Inpainting,img_size:[3,17,23],mask:0.5}"]).task
    problem = build_problem(task, sample(), seed=0)
    holes = problem.operator(torch.ones(1, 3, 17, 23)) == 0
    assert 0.3 < holes.float().mean() < 0.7
    assert problem.misfit(problem.target) < (25 / 255) ** 2 and problem.observed().shape == problem.image_shape
    assert all(not weight.requires_grad for weight in problem.operator.parameters())
