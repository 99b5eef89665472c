"""Every net of configs/net: sizes, formats, precision, gradients; and the blocks against plain torch."""

import functools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from dip_lab.build import build_net
from dip_lab.compose import compose
from dip_lab.nets import blocks
from dip_lab.nets.convolution import Conv

CONFIGS = Path(__file__).parents[2] / "configs" / "net"
VARIANTS = [(path.stem, {}) for path in sorted(CONFIGS.glob("*.yaml"))] + [
    (
        "skip",
        {"channels": [4, 6, 8], "skip_channels": [0, 2, 3], "upsample": ["nearest", "bilinear", "nearest"]},
    ),
    (
        "skip",
        {
            "depth": 2,
            "downsample": ["avg", "max"],
            "kernel_down": [5, 3],
            "kernel_up": [3, 7],
            "kernel_skip": 3,
        },
    ),
    ("skip", {"depth": 2, "downsample": ["lanczos2", "lanczos3"], "activation": "swish", "mix_1x1": False}),
    ("skip", {"depth": 1, "padding": "zero", "activation": "elu", "skip_channels": 0}),
    ("skip", {"depth": 1, "activation": "none", "kernel_down": 7}),
    ("unet", {"more_layers": 2, "padding": "reflection"}),
    (
        "unet",
        {"more_layers": 0, "concat_x": True, "norm": "batch", "upsample": "bilinear", "feature_scale": 8},
    ),
    ("unet", {"more_layers": 0, "upsample": "nearest"}),
    ("resnet", {"padding": "zero", "activation": "relu"}),
    ("segnet", {"pooling": "stride"}),
    ("segnet", {"channels": [4, 6], "convs": 1, "padding": "zero"}),
]


composed = functools.cache(lambda net: compose([f"net={net}"]))


def build(net: str, in_channels: int = 4, out_channels: int = 3, **values):
    """The net of a YAML, 8 channels wide where it can be, to keep the tests quick."""
    cfg = composed(net).copy()
    narrow = {"width": 8} if cfg.net.get("width") else {}
    if cfg.net.get("channels"):
        narrow["channels"] = [8] * len(cfg.net.channels)
    cfg.net.update(narrow | values)  # a key that the YAML does not list is refused
    return build_net(cfg, in_channels, out_channels)


def latent(net, depth: int = 4, batch: int = 1) -> torch.Tensor:
    """As small as the net takes, and one stride wider than high."""
    assert net.min_size % net.stride == 0
    high = max(net.min_size, 2 * net.stride)  # a causal network needs a row above another
    upscale = getattr(net, "upscale", 1)
    return torch.rand(batch, depth, high // upscale, (high + net.stride) // upscale)


def size_of(net, z: torch.Tensor) -> list[int]:
    return [side * getattr(net, "upscale", 1) for side in z.shape[2:]]


def is_image(x: torch.Tensor) -> bool:
    return bool(x.isfinite().all() and x.min() >= 0 and x.max() <= 1)


@pytest.mark.parametrize("name, values", VARIANTS)
def test_fits_the_smallest_latent_in_every_format(name, values):
    net = build(name, **values)
    z = latent(net)
    out = net(z)
    assert out.shape == (1, 3, *size_of(net, z))
    assert out.dtype == torch.float32 and is_image(out)

    loss = (out - 0.5).square().mean()
    loss.backward()
    for key, p in net.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), key
        if p.ndim == 4:  # a bias before a norm has no gradient
            assert p.grad.abs().max() > 0, key

    # In float64, as the norms of the few deepest pixels magnify float32's rounding a thousand times.
    net, z = net.double(), z.double()
    twin = net(z).detach()
    last = net.to(memory_format=torch.channels_last)(z.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last.detach(), twin, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name, values", VARIANTS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_autocast(name, values, layout):
    net = build(name, **values).to(memory_format=layout)
    z = latent(net).to(memory_format=layout)
    seen = []
    for module in net.modules():
        if isinstance(module, Conv):
            module.register_forward_hook(lambda m, args, out: seen.append(out))
    with torch.autocast("cpu", torch.bfloat16):
        out = net(z)
        out.sum().backward()
    assert out.dtype == torch.float32 and is_image(out)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert all(x.dtype == torch.bfloat16 for x in seen)
    if layout is torch.channels_last:  # what attention returns is so in either case
        assert all(x.is_contiguous(memory_format=layout) for x in seen)


@pytest.mark.parametrize("name", [path.stem for path in sorted(CONFIGS.glob("*.yaml"))])
def test_batch_and_eval(name):
    net = build(name, in_channels=2)
    z = latent(net, 2, batch=2)
    assert net(z).shape == (2, 3, *size_of(net, z))
    assert is_image(net.eval()(z))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_yaml_opens_with_what_paper_and_try(path):
    what, paper, hint = path.read_text().splitlines()[:3]
    assert what.startswith("# ") and len(what) > 20
    assert "https://arxiv.org/abs/" in paper
    assert hint.startswith(("# try: net.", "# try: latent."))


@pytest.mark.parametrize(
    "name, values, words",
    [
        ("skip", {"activation": "gelu"}, ["net.activation=gelu", "leaky_relu, relu, swish, elu or none"]),
        ("skip", {"upsample": "cubic"}, ["net.upsample=cubic", "bilinear or nearest"]),
        ("skip", {"upsample": ["nearest", 3, "nearest", "nearest", "nearest"]}, ["net.upsample=3"]),
        (
            "skip",
            {"downsample": "bilinear"},
            ["net.downsample=bilinear", "stride, avg, max, lanczos2 or lanczos3"],
        ),
        ("skip", {"padding": "reflect"}, ["net.padding=reflect", "reflection or zero"]),
        ("skip", {"skip_channels": [4, 4]}, ["net.skip_channels=[4, 4]", "5 scales"]),
        ("skip", {"skip_channels": -1}, ["net.skip_channels=-1"]),
        ("skip", {"kernel_up": 4}, ["net.kernel_up=4", "odd"]),
        ("skip", {"width": None}, ["net.width=None"]),
        ("skip", {"depth": 0}, ["net.depth=0"]),
        ("skip", {"depth": 40}, ["net.depth=40", "1 to 12"]),
        ("skip", {"channels": 64}, ["net.channels=64", "list"]),
        ("skip", {"mix_1x1": "yes"}, ["net.mix_1x1=yes", "true or false"]),
        ("unet", {"norm": "layer"}, ["net.norm=layer", "batch or instance"]),
        ("unet", {"upsample": "pixelshuffle"}, ["net.upsample=pixelshuffle", "deconv, bilinear or nearest"]),
        ("unet", {"feature_scale": 128}, ["net.feature_scale=128", "1 to 64"]),
        ("unet", {"concat_x": True, "feature_scale": 16}, ["net.concat_x=true", "net.feature_scale", "4"]),
        ("resnet", {"blocks": 0}, ["net.blocks=0"]),
        ("resnet", {"width": 2.5}, ["net.width=2.5", "whole number"]),
        ("segnet", {"pooling": "max"}, ["net.pooling=max", "max_indices or stride"]),
        ("segnet", {"channels": []}, ["net.channels=[]"]),
    ],
)
def test_wrong_values_are_refused_in_one_line(name, values, words):
    with pytest.raises(ValueError) as error:
        build(name, **values)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_of_channels_overrides_width_and_depth():
    assert build("skip", width=None, depth=None, channels=[4, 8, 8]).stride == 8


def test_without_the_outer_skip_only_the_outermost_scale_has_no_branch():
    net = build("skip", depth=3, skip_channels=2, outer_skip=False)
    assert [scale.branch is not None for scale in net.scales] == [False, True, True]


def test_yaml_lists_of_omegaconf_are_taken():
    values = OmegaConf.create({"channels": [4, 8], "skip_channels": [0, 2]})
    net = build("skip", channels=values.channels, skip_channels=values.skip_channels)
    assert net.stride == 4 and net.scales[0].branch is None and net.scales[1].branch is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_max_unpool_by_scatter_equals_torch(dtype, layout):
    x = torch.randn(2, 3, 6, 10).to(dtype).to(memory_format=layout)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    pooled.requires_grad_()
    ours, theirs = blocks.max_unpool_by_scatter(pooled, indices), F.max_unpool2d(pooled, indices, 2)
    assert torch.equal(blocks.max_unpool(pooled, indices), theirs)
    assert torch.equal(ours, theirs) and ours.is_contiguous(memory_format=layout)
    weight = torch.randn_like(ours)
    ours_grad, theirs_grad = (torch.autograd.grad((y * weight).sum(), pooled)[0] for y in (ours, theirs))
    assert torch.equal(ours_grad, theirs_grad)


def test_lanczos_taps_are_the_published_shape():
    """One octave of the published table's rule: even width, sum 1, constants kept, size exactly halved."""
    for lobes in (2, 3):
        down = blocks.Lanczos(lobes)
        assert down.taps.shape[-1] == 4 * lobes
        assert down.taps.sum().item() == pytest.approx(1, abs=1e-6)
        assert torch.equal(down.taps, down.taps.flip(-1)) and torch.equal(down.taps, down.taps.mT)
        torch.testing.assert_close(down(torch.full((1, 3, 6, 10), 0.7)), torch.full((1, 3, 3, 5), 0.7))


def test_segnet_fits_alike_in_strict_mode():
    net = build("segnet")
    z = latent(net)
    loose = torch.autograd.grad(net(z).square().sum(), list(net.parameters()))
    torch.use_deterministic_algorithms(True)
    try:
        strict = torch.autograd.grad(net(z).square().sum(), list(net.parameters()))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(loose, strict, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [path.stem for path in sorted(CONFIGS.glob("*.yaml"))])
def test_strict_determinism_on_a_gpu(name, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    net = build(name).cuda()
    z = latent(net).cuda()
    torch.use_deterministic_algorithms(True)
    try:
        grads = [torch.autograd.grad(net(z).square().sum(), list(net.parameters())) for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
