"""The checks of values: which pass, and the one line that refuses the others."""

import math
import re

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from dip_lab.build import checked
from dip_lab.callbacks.checkpoint import Checkpoint
from dip_lab.callbacks.guard import Guard
from dip_lab.callbacks.progress import Progress
from dip_lab.checks import flag, integer, number, one_of
from dip_lab.data.images import Images
from dip_lab.data.sizes import resize_to
from dip_lab.splits.seeds import Seeds
from dip_lab.splits.tiles import Tiles


def refused(message: str):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_what_passes_comes_back():
    assert number("k", 0, 0, 1, below=True) == 0.0 and isinstance(number("k", 1, 0), float)
    assert number("k", np.float32(0.5), 0, 1) == 0.5 and number("k", math.inf, 0, math.inf) == math.inf
    assert integer("k", -3) == -3 and integer("k", np.int64(2), 1, 2) == 2
    assert one_of("k", "a", {"a": 1}) == "a" and flag("k", False) is False


@pytest.mark.parametrize("value", ["abc", "0.5", None, True, [0.5], math.nan, math.inf, 10**400, -0.1, 1 + 0j])
def test_no_number(value):
    with refused(f"average.decay={value}: give a number at least 0"):
        number("average.decay", value, 0)


def test_a_whole_float_is_an_integer():
    assert integer("k", 1e3, 1) == 1000 and isinstance(integer("k", 1e3), int)
    assert isinstance(one_of("k", 4.0, (2, 4)), int) and isinstance(Seeds(2.0).count, int)
    cfg = checked(config(iterations=1e3, log_every=5.0, log_every_image=1e1, seed=3.0))
    assert all(isinstance(cfg[key], int) for key in ("iterations", "log_every", "log_every_image", "seed"))
    assert cfg.iterations == 1000 and resize_to(Images("grey", torch.zeros(1, 1, 16, 32)), 1.6e1).pixels.shape[-1] == 16


def test_the_ends_of_a_range():
    with refused("k=0: give a number above 0 and at most 1"):
        number("k", 0, 0, 1, above=True)
    with refused("k=1: give a number at least 0 and below 1"):
        number("k", 1, 0, 1, below=True)
    with refused("k=13: give a whole number from 1 to 12"):
        integer("k", 13, 1, 12)


@pytest.mark.parametrize("value", ["1", None, True, 1.5, math.inf, math.nan, 0, [1]])
def test_no_whole_number(value):
    with refused(f"k={value}: give a whole number of at least 1"):
        integer("k", value, 1)


@pytest.mark.parametrize("value", ["c", 3, None, True, ["a"]])
def test_none_of_the_choices(value):
    with refused(f"k={value}: choose a, b or 1"):
        one_of("k", value, ("a", "b", 1))


@pytest.mark.parametrize("value", ["true", 1, None])
def test_no_flag(value):
    with refused(f"k={value}: choose true or false"):
        flag("k", value)


def test_a_value_of_two_lines_is_refused_in_one():
    with refused("k=a b: choose true or false"):
        flag("k", "a\nb")


@pytest.mark.parametrize(
    ("build", "key", "value"),
    [
        (lambda v: Guard(every=v, drop_db=5, max_events=5), "guard.every", 1.5),
        (lambda v: Guard(every=10, drop_db=v, max_events=5), "guard.drop_db", 0),
        (lambda v: Guard(every=10, drop_db=5, max_events=v), "guard.max_events", "abc"),
        (lambda v: Checkpoint(seconds=v), "checkpoint.seconds", -1),
        (lambda v: Progress(seconds=v), "progress.seconds", "abc"),
    ],
)
def test_callbacks_name_their_key(build, key, value):
    with pytest.raises(ValueError, match=rf"^callbacks\.{key}={value}: give a "):
        build(value)


def config(**values):
    keys = {"iterations": 1, "log_every": 1, "log_every_image": 1, "seed": -1, "precision": "float32",
            "device": "auto"}
    groups = {"trainer": {"devices": 1}, "optimizer": {"lr": 0.1}, "descent": {"clip": None}, **values}
    return OmegaConf.create({**keys, **groups})


@pytest.mark.parametrize("key", ["iterations", "log_every", "log_every_image", "seed"])
@pytest.mark.parametrize("value", [True, 2.5, "abc", None])
def test_the_experiment_wants_whole_numbers(key, value):
    with pytest.raises(ValueError, match=f"^{key}={value}: give a whole number"):
        checked(config(**{key: value}))


@pytest.mark.parametrize("lr", ["abc", 0, -1, True, None])
def test_the_experiment_wants_a_step_above_0(lr):
    with refused(f"optimizer.lr={lr}: give a number above 0"):
        checked(config(optimizer={"lr": lr}))


def test_the_largest_gradient_is_above_0():
    with refused("descent.clip=0: give a number above 0"):
        checked(config(descent={"clip": 0}))


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Seeds(0), "splits.seeds.count=0: give a whole number of at least 1"),
    (lambda: Tiles(16, 64), "tile=16: give a whole number of at least 129"),
    (lambda: Tiles(16, -1), "splits.tiles.overlap=-1: give a whole number of at least 0"),
])
def test_splits_check_their_values(make, said):
    with refused(said):
        make()


def test_the_experiment_takes_an_optimizer_without_lr():
    checked(config())
    checked(config(optimizer={"rho": 0.9}))
    with refused("precision=fp8: choose auto, bf16 or float32"):
        checked(config(precision="fp8"))
