import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from dip_lab.data.images import Images
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.kernels import Bicubic, Bilinear, Box, Lanczos
from dip_lab.tasks.masks import Bernoulli
from dip_lab.tasks.observations import ByOperator
from dip_lab.tasks.operators import prepare
from dip_lab.tasks.super_resolution import Downsample, Enlarged, PillowResize
from dip_lab.tasks.views import View

KERNELS = {
    "lanczos2": Lanczos(border="replicate", lobes=2),
    "lanczos3": Lanczos(border="replicate", lobes=3),
    "lanczos3-pillow": Lanczos(border="renormalise", lobes=3),
    "bicubic": Bicubic(border="renormalise"),
    "bilinear": Bilinear(border="renormalise"),
    "box": Box(border="renormalise"),
    "bicubic-replicate": Bicubic(border="replicate"),
}
OPERATORS = {
    "identity": Identity,
    "masking": lambda: Masking(Bernoulli(path=None, polarity="white", missing=0.5, per_channel=False)),
    "masking-per-channel": lambda: Masking(
        Bernoulli(path=None, polarity="white", missing=0.5, per_channel=True)
    ),
} | {f"x{f}-{k}": lambda f=f, k=k: Downsample(f, KERNELS[k]) for f in (2, 4, 8) for k in KERNELS}


@pytest.mark.parametrize("shape", [(1, 3, 17, 23), (2, 1, 16, 16), (1, 4, 9, 32)])
@pytest.mark.parametrize("name", OPERATORS)
def test_adjoint(name, shape):
    operator = OPERATORS[name]()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    prepare(operator, Images("x", x[:1].float()), seed=3, given=False)
    y = operator(x)
    u = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    assert y.dtype == torch.float64 and operator.adjoint(u).shape == x.shape
    assert torch.allclose((y * u).sum(), (x * operator.adjoint(u)).sum(), rtol=1e-10, atol=1e-10)
    assert operator.image_shape(tuple(y.shape[1:])) == shape[1:]
    view = Enlarged() if isinstance(operator, Downsample) else View()
    assert view.observed(y, operator).shape == x.shape


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_constant_stays_constant(name, factor):
    y = Downsample(factor, KERNELS[name])(torch.full((1, 2, 19, 26), 0.3))
    assert y.shape == (1, 2, -(-19 // factor), -(-26 // factor))
    assert torch.allclose(y, torch.tensor(0.3), atol=1e-6)


@pytest.mark.parametrize(
    ("lobes", "factor", "width", "centre", "edge"),
    [
        (2, 4, 16, 0.23971, -0.00107),
        (2, 8, 32, 0.12280, -0.00013),
        (3, 4, 24, None, None),
        (3, 8, 48, None, None),
    ],
)
def test_published_taps(lobes, factor, width, centre, edge):
    taps = Lanczos(border="replicate", lobes=lobes).taps(factor)
    assert len(taps) == width and taps.sum().item() == pytest.approx(1)
    assert torch.allclose(taps, taps.flip(0))
    if centre is not None:
        assert taps[width // 2].item() == pytest.approx(centre, abs=5e-6)
        assert taps[0].item() == pytest.approx(edge, abs=5e-6)


@pytest.mark.parametrize(("lobes", "factor", "pad"), [(2, 4, 6), (2, 8, 12), (3, 4, 10), (3, 8, 20)])
def test_lanczos_is_the_published_strided_convolution(lobes, factor, pad):
    kernel = Lanczos(border="replicate", lobes=lobes)
    taps = kernel.taps(factor).float()
    x = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(1))
    dense = torch.outer(taps, taps).expand(3, 1, -1, -1)
    expected = F.conv2d(F.pad(x, (pad,) * 4, mode="replicate"), dense, stride=factor, groups=3)
    assert torch.allclose(Downsample(factor, kernel)(x), expected, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize(
    ("name", "mode"),
    [("lanczos3-pillow", "LANCZOS"), ("bicubic", "BICUBIC"), ("bilinear", "BILINEAR"), ("box", "BOX")],
)
def test_kernels_equal_pillow(name, mode, factor):
    x = torch.rand(24, 32, generator=torch.Generator().manual_seed(2))
    small = Image.fromarray(x.numpy()).resize((32 // factor, 24 // factor), Image.Resampling[mode])
    y = Downsample(factor, KERNELS[name])(x[None, None])
    assert torch.allclose(y[0, 0], torch.from_numpy(np.array(small)), atol=1e-5)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_kernels_equal_torch(mode):
    x = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(2))
    expected = F.interpolate(x, size=(6, 8), mode=mode, antialias=True)
    assert torch.allclose(Downsample(4, KERNELS[mode])(x), expected, atol=1e-5)


def test_odd_sizes_continue_the_last_pixel():
    x = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(2))
    larger = F.pad(x, (0, 1, 0, 3), mode="replicate")
    for kernel in KERNELS.values():
        assert torch.allclose(Downsample(4, kernel)(x), Downsample(4, kernel)(larger), atol=1e-6)
    assert torch.equal(
        PillowResize(4, "lanczos")(x, Identity()), PillowResize(4, "lanczos")(larger, Identity())
    )


def test_pillow_observes_as_published(picture):
    target = picture(24, 32).pixels.mul(255).round() / 255
    image = Image.fromarray(target[0].mul(255).round().byte().permute(1, 2, 0).numpy())
    expected = np.array(image.resize((8, 6), Image.Resampling.LANCZOS))
    observation = PillowResize(4, "lanczos")(target, Downsample(4, KERNELS["lanczos2"]))
    assert np.array_equal(observation[0].mul(255).round().byte().permute(1, 2, 0).numpy(), expected)
    four = torch.cat([target, torch.rand(1, 1, 24, 32)], 1)
    assert torch.equal(PillowResize(4, "lanczos")(four, Identity())[:, :3], observation)


def test_by_operator_is_the_operator(picture):
    target, operator = picture(16, 16).pixels.requires_grad_(), Downsample(2, KERNELS["box"])
    observation = ByOperator()(target, operator)
    assert not observation.requires_grad
    assert torch.allclose(observation, F.avg_pool2d(target.detach(), 2), atol=1e-6)


def test_given_observation_of_any_size(picture):
    operator = Downsample(4, KERNELS["lanczos2"])
    given = picture(9, 11)
    prepare(operator, given, seed=0, given=True)
    assert operator.image_shape((3, 9, 11)) == (3, 36, 44)
    assert Enlarged().observed(given.pixels, operator).shape == (1, 3, 36, 44)
    assert operator(torch.rand(1, 3, 36, 44)).shape == (1, 3, 9, 11)


def test_baseline_is_pillows_bicubic(picture):
    small = picture(6, 8, 1).pixels
    large = Image.fromarray(small[0, 0].numpy()).resize((32, 24), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(large)).clamp(0, 1)
    shown = Enlarged().observed(small, Downsample(4, KERNELS["lanczos2"]))
    assert torch.allclose(shown[0, 0], expected, atol=1e-5)


def test_downsample_stays_in_float32_under_autocast(picture):
    operator, x = Downsample(4, KERNELS["lanczos2"]), picture(16, 16).pixels
    expected = operator(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(operator(x), expected)
    assert operator(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("factor", [3, 0, -4, 2.5, "x", True, None])
def test_other_factors_are_refused(factor):
    with pytest.raises(ValueError, match=rf"task\.factor={factor}: choose 2, 4 or 8"):
        Downsample(factor, KERNELS["box"])
    with pytest.raises(ValueError, match=r"task\.factor="):
        PillowResize(factor, "lanczos")


def test_other_values_are_refused():
    with pytest.raises(ValueError, match=r"task\.observe\.filter=nearest: choose lanczos, bicubic"):
        PillowResize(4, "nearest")
    with pytest.raises(ValueError, match=r"task\.kernel\.border=zero: choose replicate or renormalise"):
        Box(border="zero")
    with pytest.raises(ValueError, match=r"task\.kernel\.lobes=4: choose 2 or 3"):
        Lanczos(border="replicate", lobes=4)
    with pytest.raises(ValueError, match=r"task\.factor=8: a picture of 9 x 4 px"):
        Downsample(8, KERNELS["box"])(torch.rand(1, 1, 4, 9))


def test_masking_keeps_what_is_known(picture):
    operator = OPERATORS["masking"]()
    sample = picture(16, 16)
    operator.prepare(sample, seed=1, given=False)
    y = operator(sample.pixels)
    known = operator.known.bool().expand_as(y)
    assert operator.known.dtype == torch.float32
    assert torch.equal(y[known], sample.pixels[known]) and not y[~known].any()
    assert torch.equal(operator.given(sample.pixels), y) and torch.equal(View().observed(y, operator), y)
    assert torch.equal(operator.hole + operator.known, torch.ones(1, 1, 16, 16))
    assert not operator.state_dict()


def test_masking_without_anything_known(picture):
    operator = Masking(Bernoulli(path=None, polarity="white", missing=1, per_channel=False))
    with pytest.raises(ValueError, match="nothing is known.*leave some pixels known"):
        operator.prepare(picture(16, 16), seed=1, given=False)


@pytest.mark.parametrize("law", [Bernoulli(path=None, polarity="white", missing=0, per_channel=False),
                                 lambda picture, seed: torch.ones(1, 1, 16, 16, dtype=torch.bool)])
def test_masking_without_a_hole(law, picture):
    with pytest.raises(ValueError, match="nothing to fill in, no pixel of sample is a hole"):
        Masking(law).prepare(picture(16, 16), seed=1, given=False)
