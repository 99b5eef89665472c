import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.instantiate import instantiate

composed = functools.cache(lambda *overrides: compose(overrides))


@pytest.fixture
def face():
    """`face(height, width, channels)`: a piece of the astronaut's face."""

    def make(height=33, width=47, channels=3):
        pixels = data.astronaut()[60 : 60 + height, 200 : 200 + width, :channels].astype(np.float32) / 255
        return Images("face", torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous())

    return make


@pytest.fixture
def problem_of(one_thread):
    """`problem_of(picture, "task=inpaint", ...)`: the problem that these overrides make of a clean picture."""

    def make(picture, *overrides):
        return build_problem(composed(*overrides).task, replace(picture, clean=True), seed=0)

    return make


@pytest.fixture
def baseline_of():
    """`baseline_of("nlm", "baseline.h=1")`: the function that a YAML of configs/baseline makes."""

    def make(name, *overrides):
        return instantiate(composed(f"baseline={name}", *overrides).baseline)

    return make
