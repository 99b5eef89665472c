"""Parameter counts of the published networks: each is reached by YAML values alone."""

import pytest
import torch

from dip_lab.build import build_net
from dip_lab.compose import compose

INVERSION = {
    "channels": [16, 32, 64, 128, 128, 128],
    "kernel_down": [7, 7, 5, 5, 3, 3],
    "kernel_up": [7, 7, 5, 5, 3, 3],
    "downsample": "avg",
    "upsample": "nearest",
    "padding": "zero",
}
PUBLISHED = [
    ("denoise F16", "skip", {}, 32, 3, 2_217_831),
    ("restore barbara", "skip", {}, 32, 1, 2_217_573),
    (
        "flash",
        "skip",
        {"upsample": ["nearest", "nearest", "bilinear", "bilinear", "bilinear"]},
        3,
        3,
        2_184_307,
    ),
    ("jpeg snail", "skip_jpeg", {}, 3, 3, 572_827),
    ("inpaint kate", "skip_text", {}, 32, 3, 3_002_627),
    ("inpaint vase", "skip_vase", {}, 2, 3, 2_157_955),
    ("library depth 6", "skip_library6", {}, 1, 3, 2_996_467),
    ("library depth 4", "skip_library4", {}, 1, 3, 1_060_339),
    ("library depth 2", "skip_library2", {}, 1, 3, 59_635),
    ("restore kate 98 %", "skip_few_pixel", {}, 32, 3, 1_027_379),
    ("feature inversion", "skip", INVERSION, 32, 3, 2_606_763),
    ("feature inversion, more noise", "skip", INVERSION, 2, 3, 2_583_123),
    (
        "activation maximisation",
        "skip",
        {
            "channels": [16, 32, 64, 128, 128, 128],
            "skip_channels": [0, 4, 4, 4, 4, 4],
            "kernel_down": [5, 3, 5, 5, 3, 5],
            "kernel_up": [5, 3, 5, 3, 5, 3],
            "downsample": "avg",
        },
        32,
        3,
        2_948_567,
    ),
    ("library", "unet", {}, 1, 3, 1_616_315),
    (
        "default of the code",
        "unet",
        {"feature_scale": 4, "more_layers": 0, "norm": "batch", "upsample": "bilinear"},
        32,
        3,
        2_164_899,
    ),
    ("library", "resnet", {}, 1, 3, 158_979),
    *(("astronaut", "deep_decoder", {"width": k}, k, 3, count)
      for k, count in ((32, 6_624), (64, 25_536), (128, 100_224), (256, 397_056))),
    ("astronaut as RGBA, by mistake", "deep_decoder", {"width": 256}, 256, 4, 397_312),
    ("grey", "dncnn", {}, 1, 1, 556_032),
    ("grey with biases", "dncnn", {"bias": True}, 1, 1, 557_057),
    ("RGB", "siren", {}, 2, 3, 198_915),
]


@pytest.mark.parametrize("name, net, values, in_channels, out_channels, count", PUBLISHED)
def test_parameters_of_published_networks(name, net, values, in_channels, out_channels, count):
    cfg = compose([f"net={net}"])
    cfg.net.update(values)  # a key that the YAML does not list is refused
    with torch.device("meta"):  # counts need no numbers
        built = build_net(cfg, in_channels, out_channels)
    assert sum(p.numel() for p in built.parameters()) == count
