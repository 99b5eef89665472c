"""Parameter counts of the published networks: each is reached by YAML values alone."""

import importlib
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

CONFIGS = Path(__file__).parents[2] / "configs" / "net"
LIBRARY = {"kernel_down": 5, "skip_channels": 0, "mix_1x1": False, "upsample": "nearest"}
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
    (
        "jpeg snail",
        "skip",
        {"channels": [8, 16, 32, 64, 128], "skip_channels": [0, 0, 0, 4, 4]},
        3,
        3,
        572_827,
    ),
    ("inpaint kate", "skip", {"skip_channels": 128, "upsample": "nearest"}, 32, 3, 3_002_627),
    ("inpaint vase", "skip", {"skip_channels": 0, "upsample": "nearest"}, 2, 3, 2_157_955),
    ("library depth 6", "skip", {**LIBRARY, "channels": [16, 32, 64, 128, 128, 128]}, 1, 3, 2_996_467),
    ("library depth 4", "skip", {**LIBRARY, "channels": [16, 32, 64, 128]}, 1, 3, 1_060_339),
    ("library depth 2", "skip", {**LIBRARY, "channels": [16, 32]}, 1, 3, 59_635),
    (
        "restore kate 98 %",
        "skip",
        {"channels": [16, 32, 64, 128, 128], "skip_channels": 0, "downsample": "avg"},
        32,
        3,
        1_027_379,
    ),
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
]


@pytest.mark.parametrize("name, net, values, in_channels, out_channels, count", PUBLISHED)
def test_parameters_of_published_networks(name, net, values, in_channels, out_channels, count):
    keys = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{net}.yaml"))
    assert set(values) <= set(keys), "a value that is no key of the YAML"
    module, _, target = keys.pop("_target_").rpartition(".")
    keys.pop("lr")
    with torch.device("meta"):  # counts need no numbers
        built = getattr(importlib.import_module(module), target)(in_channels, out_channels, **(keys | values))
    assert sum(p.numel() for p in built.parameters()) == count
