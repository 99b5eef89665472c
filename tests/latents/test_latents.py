import re

import pytest
import torch

from dip_lab.latents.meshgrid import Meshgrid
from dip_lab.latents.noise import Noise


def prepared(latent, seed=0, height=24, width=16):
    latent.prepare(height, width, seed)
    return latent


def noise(law="uniform", scale=0.1, depth=8, jitter=0.05):
    return Noise(law=law, scale=scale, depth=depth, jitter=jitter)


def test_uniform_and_normal_law():
    uniform, normal = prepared(noise()).z, prepared(noise("normal")).z
    assert uniform.shape == normal.shape == (1, 8, 24, 16) and uniform.dtype == torch.float32
    assert 0 <= uniform.min() and 0.09 < uniform.max() < 0.1
    assert float(uniform.mean()) == pytest.approx(0.05, abs=0.003)
    assert float(normal.std()) == pytest.approx(0.1, rel=0.05) and abs(float(normal.mean())) < 0.005


def test_meshgrid_is_x_then_y():
    z = prepared(Meshgrid(jitter=0), height=5, width=9).z
    assert z.shape == (1, 2, 5, 9) and Meshgrid(jitter=0).depth == 2
    for y in range(5):
        for x in range(9):
            assert z[0, :, y, x].tolist() == pytest.approx([x / 8, y / 4])
    assert prepared(Meshgrid(jitter=0), height=1, width=1).z.tolist() == [[[[0.0]], [[0.0]]]]


@pytest.mark.parametrize("make", [noise, lambda: Meshgrid(jitter=0.05)], ids=["noise", "meshgrid"])
def test_jitter_is_a_function_of_seed_and_iteration(make):
    a, b, other = prepared(make()), prepared(make()), prepared(make(), seed=1)
    at_7 = a(7).clone()
    assert not torch.equal(a(8), at_7)
    assert torch.equal(a(7), at_7) and torch.equal(b(7), at_7)
    assert not torch.equal(other(7) - other.z, at_7 - a.z)
    assert torch.equal(a(None), a.z) and a(None) is a.z


def test_seed_changes_the_noise_latent():
    assert torch.equal(prepared(noise()).z, prepared(noise()).z)
    assert not torch.equal(prepared(noise()).z, prepared(noise(), seed=1).z)


def test_jitter_has_its_standard_deviation():
    latent = prepared(noise(jitter=0.05), height=48, width=48)
    differences = torch.cat([latent(t) - latent.z for t in range(4)])
    assert float(differences.std()) == pytest.approx(0.05, rel=0.02)
    assert abs(float(differences.mean())) < 1e-3
    assert float((differences[0] * differences[1]).mean()) == pytest.approx(0, abs=1e-4)  # fresh each time


def test_without_jitter_z_itself():
    latent = prepared(noise(jitter=0))
    assert latent(3) is latent.z


def test_memory_format_changes_the_layout_and_not_the_values():
    plain, last = prepared(noise()), prepared(noise())
    plain(1)
    last(1)
    last.to(memory_format=torch.channels_last)
    assert last(2).is_contiguous(memory_format=torch.channels_last)
    assert not last(2).is_contiguous()
    assert torch.equal(plain(2), last(2))


def test_prepare_again_gives_another_size_and_nothing_is_saved():
    latent = prepared(noise())
    latent(1)
    latent.prepare(8, 12, seed=0)
    assert latent(1).shape == (1, 8, 8, 12)
    assert latent.state_dict() == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("law", "cauchy"), ("law", ["normal"]), ("scale", 0), ("scale", "abc"), ("depth", 0), ("depth", 1.5)],
        *[("jitter", -1), ("jitter", "abc"), ("jitter", float("nan"))],
    ],
)
def test_wrong_arguments_name_their_key(key, value):
    with pytest.raises(ValueError, match=rf"latent\.{key}={re.escape(str(value))}: "):
        noise(**{key: value})
