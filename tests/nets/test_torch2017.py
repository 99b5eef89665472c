import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dip_lab.build import build_net
from dip_lab.catalogue import options
from dip_lab.compose import compose
from dip_lab.nets.blocks import UPSAMPLINGS

NETS = ["skip", "skip_narrow", "segnet", "texture_net", "deep_decoder", "cvt", "dip_unet", "dncnn", "resnet", "unet",
        "conv_decoder", "swin"]


def norms(net: nn.Module) -> list[nn.Module]:
    return [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", NETS)
def test_norm_weights_are_drawn_from_the_unit_interval_and_nothing_else_changes(name):
    extra = ["net.norm=batch"] if name == "unet" else []
    now, then, again = (build_net(compose([f"net={name}", f"net.norm_weight={law}", *extra]), 4, 3)
                        for law in ("ones", "uniform", "uniform"))
    drawn = torch.cat([layer.weight.detach() for layer in norms(then)])
    assert 0 <= drawn.min() < 0.2 and 0.8 < drawn.max() <= 1 and abs(drawn.mean() - 0.5) < 0.15
    assert all(map(torch.equal, then.parameters(), again.parameters()))
    weights = {id(layer.weight) for layer in norms(then)}
    for ours, theirs in zip(then.parameters(), now.parameters(), strict=True):
        assert id(ours) in weights or torch.equal(ours, theirs)


def test_another_seed_draws_other_norm_weights():
    first, second = (norms(build_net(compose([f"seed={seed}", "net.norm_weight=uniform"]), 4, 3)) for seed in (0, 1))
    assert not torch.equal(first[0].weight, second[0].weight)


@pytest.mark.parametrize("name", ["skip", "skip_narrow", "segnet", "texture_net", "deep_decoder", "cvt", "dip_unet",
                                  "unet", "conv_decoder", "swin"])
def test_bilinear_upsampling_aligns_corners(name, monkeypatch):
    seen = []
    interpolate = F.interpolate

    def spied(x, size=None, scale_factor=None, mode="nearest", align_corners=None, **rest):
        seen.append((mode, align_corners))
        return interpolate(x, size, scale_factor, mode, align_corners, **rest)

    monkeypatch.setattr(F, "interpolate", spied)
    chosen = ["net.pooling=stride"] if name == "segnet" else ["net.upsample=bilinear"]
    net = build_net(compose([f"net={name}", "net.align_corners=true", *chosen]), 4, 3)
    # the decoders' latents are small
    net(torch.rand(1, 4, *(2 * [4 if hasattr(net, "upscale") else 2 * net.min_size])))
    assert seen and set(seen) == {("bilinear", True)}


def test_nearest_upsampling_has_no_corners_to_align():
    net = build_net(compose(["net=skip", "net.width=4", "net.depth=2", "net.upsample=nearest",
                             "net.align_corners=true"]), 2, 3)
    assert net(torch.rand(1, 2, 16, 16)).shape == (1, 3, 16, 16)


@pytest.mark.slow
def test_every_network_with_a_norm_or_bilinear_upsampling_has_both_values():
    for name in options("net"):
        net = compose([f"net={name}"]).net
        layers = list(build_net(compose([f"net={name}", *([f"net.norm={net.norm}"] if "norm" in net else [])]), 4, 3)
                      .modules())
        has_norm = any(isinstance(layer, nn.BatchNorm2d) for layer in layers) or "norm" in net
        assert ("norm_weight" in net) == has_norm, name
        upsamples = any(isinstance(layer, nn.Upsample) for layer in layers)
        assert ("align_corners" in net) == (upsamples or net.get("upsample") in UPSAMPLINGS
                                            or name == "unet"), name


@pytest.mark.parametrize("override, said", [("net.norm_weight=half", "net.norm_weight=half: choose ones or uniform"),
                                            ("net.align_corners=3", "net.align_corners=3")])
def test_wrong_values_are_refused(override, said):
    with pytest.raises(ValueError, match=said):
        build_net(compose([override]), 4, 3)
