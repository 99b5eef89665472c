import random

import numpy as np
import pytest
import torch
from torch import nn

from dip_lab.build import build_generator, build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.generator import Generator
from dip_lab.latents.noise import Noise


def picture(height, width, channels):
    return Images("random", torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1)))


@pytest.fixture
def build(compose_tiny):
    def make(*overrides, height=24, width=20, channels=3):
        cfg, _ = compose_tiny(*overrides)
        return build_generator(cfg, build_problem(cfg.task, picture(height, width, channels), cfg.seed))

    return make


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (33, 47), (96, 160), (160, 96)], ids=str)
def test_the_image_has_exactly_the_target_s_size(size, channels, build):
    generator = build("net.depth=5", height=size[0], width=size[1], channels=channels)
    z = generator.latent.z
    assert all(side % 32 == 0 and side >= generator.net.min_size for side in z.shape[-2:])
    with torch.no_grad():
        for iteration in (1, None):
            image = generator(iteration)
            assert image.shape == (1, channels, *size)
            assert image.dtype == torch.float32
            assert 0 <= image.min() and image.max() <= 1


def test_the_crop_is_from_the_centre(build):
    generator = build("net.depth=5", height=33, width=47)
    padded = generator.latent.z.shape[-2:]
    generator.net.forward = lambda z: torch.arange(z[0, 0].numel(), dtype=torch.float32).reshape(1, 1, *padded)
    rows, columns = generator(None)[0, 0][:, 0] // padded[1], generator(None)[0, 0][0] % padded[1]
    assert (rows[0], columns[0]) == ((padded[0] - 33) // 2, (padded[1] - 47) // 2)
    assert (len(rows), len(columns)) == (33, 47)


def test_same_seed_same_weights_latent_and_image(build):
    first, second = build(), build()
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    assert torch.equal(first.latent.z, second.latent.z)
    assert torch.equal(first(3), second(3))


def test_another_seed_is_another_network_and_latent(build):
    first, second = build(), build("seed=1")
    assert not torch.equal(first.latent.z, second.latent.z)
    weights = [(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True) if a.ndim == 4]
    assert weights and not any(torch.equal(a, b) for a, b in weights)


def test_the_jitter_depends_on_the_iteration_alone(build):
    generator = build()
    with torch.no_grad():
        fifth = generator(5).clone()
        generator(6)
        generator(None)
        torch.rand(3)
        assert torch.equal(generator(5), fifth)
        assert not torch.equal(generator(6), fifth)
        assert not torch.equal(generator(None), fifth)
        assert torch.equal(generator(None), generator(None))


def test_the_weights_of_a_net_do_not_depend_on_the_task(build):
    assert torch.equal(next(build().parameters()), next(build("task=inpaint").parameters()))


def test_global_random_state_is_neither_read_nor_touched(build, fit_tiny):
    def states():
        return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    def run(seed):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = states()
        generator, restoration = build(), fit_tiny("iterations=12")
        after = states()
        assert torch.equal(before[0], after[0]) and (before[1] == after[1]).all() and before[2] == after[2]
        return generator(1), restoration.image

    assert all(map(torch.equal, run(0), run(1)))


COARSE = ("generator.coarse_to_fine.factor=2", "generator.coarse_to_fine.iterations=3", "latent.jitter=0")


def test_the_first_iterations_are_coarse(build):
    generator, plain = build(*COARSE, height=33, width=47), build("latent.jitter=0", height=33, width=47)
    seen = []
    generator.net.register_forward_pre_hook(lambda net, z: seen.append(z[0]))
    with torch.no_grad():
        for iteration in (1, 3, 4, None):
            assert generator(iteration).shape == (1, 3, 33, 47)
    full = generator.latent.z
    assert [z.shape[-2:] == full.shape[-2:] for z in seen] == [False, False, True, True]
    assert torch.equal(seen[0], full[..., ::2, ::2])
    assert all(side % (2 * generator.net.stride) == 0 for side in full.shape[-2:])
    assert plain.latent.z.shape[-1] <= full.shape[-1]


def test_a_small_latent_has_nothing_coarser(build):
    cfg = compose(["net=deep_decoder", "generator.coarse_to_fine.factor=2"])
    with pytest.raises(ValueError, match=r"coarse_to_fine\.factor=2: this network's latent is small already"):
        build_generator(cfg, build_problem(cfg.task, picture(24, 20, 3), 0))
    with pytest.raises(ValueError, match=r"coarse_to_fine\.factor=0"):
        build("generator.coarse_to_fine.factor=0")


def test_a_probe_leaves_the_fit_as_it_was(build):
    generator = build("latent=image")
    with torch.no_grad():
        generator(1)
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    change = torch.zeros(1, 3, 24, 20)
    change[..., 5, 7] = 0.5
    image, moved = generator.probed(change)
    assert image.shape == moved.shape == (1, 3, 24, 20) and not torch.equal(image, moved)
    assert all(torch.equal(before[key], value) for key, value in generator.state_dict().items())


def test_frozen_norms_keep_the_mean_and_variance_that_they_came_with():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Sigmoid())
    net.stride, net.min_size = 1, 1
    net[1].running_mean.uniform_()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    at_once, latent = {"factor": 1, "iterations": 0}, Noise("uniform", 0.1, 2, 0)
    generator = Generator(net, latent, (8, 9), "float32", 0, at_once, frozen_norms=True).train()
    assert generator.training and not generator.net[1].training
    image = generator(1)
    image.mean().backward()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net[1].weight.grad is not None
    frozen, own = net.eval()(generator.latent.z), net.train()(generator.latent.z)
    assert torch.equal(image, frozen) and not torch.equal(image, own)
