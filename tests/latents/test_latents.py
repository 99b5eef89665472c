import re

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from dip_lab.build import build_generator, build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.latents.coarse import Coarse
from dip_lab.latents.fourier import Fourier
from dip_lab.latents.image import ImageLatent
from dip_lab.latents.learned import Learned
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


class Observed:
    """The part of a problem that a latent sees."""

    def __init__(self, height=10, width=6, channels=3):
        self.pixels = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))
        self.image_shape = self.pixels.shape

    def guide(self):
        return self.pixels


def test_fourier_features_are_cosines_and_sines_of_log_spaced_frequencies():
    z = prepared(Fourier(frequencies=8, highest=256, jitter=0), height=5, width=9).z
    assert z.shape == (1, 32, 5, 9)
    frequencies = (2 ** (8 / 7)) ** np.arange(8)
    for y in range(5):
        for x in range(9):
            angles = np.stack([frequencies * x / 8, frequencies * y / 4], 1).ravel()
            assert z[0, :, y, x].numpy() == pytest.approx(np.concatenate([np.cos(angles), np.sin(angles)]), abs=1e-4)


def test_an_image_latent_is_the_observation_mirrored_to_the_padded_size():
    problem, latent = Observed(), ImageLatent(None, 0, 0.1, 0)
    latent.setup(problem)
    z = prepared(latent, height=16, width=32).z
    assert latent.depth == 3 and z.shape == (1, 3, 16, 32)
    assert torch.equal(z[..., 3:13, 13:19], problem.pixels)
    assert torch.equal(z[..., 3:13, 12], problem.pixels[..., 0]) and torch.equal(z[..., 2, 13:19], z[..., 3, 13:19])


def test_an_image_latent_may_have_noise_beside_it():
    problem, latent = Observed(), ImageLatent(None, 5, 0.1, 0)
    latent.setup(problem)
    z = prepared(latent, height=10, width=6).z
    assert latent.depth == 8 and torch.equal(z[:, :3], problem.pixels)
    assert 0.08 < float(z[:, 3:].max()) < 0.1


def test_a_guide_must_have_the_size_of_the_restoration(tmp_path):
    Image.new("RGB", (8, 10), (255, 0, 0)).save(tmp_path / "guide.png")
    latent = ImageLatent(str(tmp_path / "guide.png"), 0, 0.1, 0)
    latent.setup(Observed(width=8, channels=1))
    assert latent.depth == 3 and prepared(latent, height=10, width=8).z[0, :, 0, 0].tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match=r"guide.png is 8 x 10 px and the restoration 9 x 10"):
        latent.setup(Observed(width=9))


def test_a_learned_latent_starts_as_another_and_gets_a_gradient():
    start, latent = prepared(noise()), prepared(Learned(noise(), lr=0.02))
    assert torch.equal(latent(None), start(None)) and torch.equal(latent(7), start(7))
    latent(7).square().sum().backward()
    assert torch.equal(latent.z.grad, 2 * start(7))
    assert set(latent.state_dict()) == {"z"}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_fit_moves_a_learned_latent_at_its_own_rate(precision, fit_tiny):
    seen = {}

    class Look(pl.Callback):
        def on_train_start(self, trainer, module):
            seen["rates"] = [group["lr"] for group in trainer.optimizers[0].param_groups]
            seen["first"] = module.generator.latent.z.detach().clone()

        def on_train_end(self, trainer, module):
            seen["last"] = module.generator.latent.z.detach().clone()

    fit_tiny("latent=learned", "latent.lr=0.003", "iterations=4", f"precision={precision}", callbacks=[Look()])
    assert seen["rates"] == [0.01, 0.003]
    moved = (seen["last"] - seen["first"]).abs()
    assert 0.003 < float(moved.max()) <= 4 * 0.003 * 1.01  # Adam's steps are as long as its rate


def test_a_learned_latent_is_resumed(fit_tiny, tmp_path):
    whole = fit_tiny("latent=learned", "iterations=30", "stopping=fixed", folder=tmp_path / "whole")

    class Kill(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
            if iteration == 17:
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fit_tiny("latent=learned", "iterations=30", "stopping=fixed", folder=tmp_path / "torn", callbacks=[Kill()])
    resumed = fit_tiny("latent=learned", "iterations=30", "stopping=fixed", folder=tmp_path / "torn")
    assert torch.equal(resumed.image, whole.image)


@pytest.mark.parametrize(("latent", "net", "taken"), [
    ("noise", "siren", ["coordinates", "meshgrid"]),
    ("meshgrid", "deep_decoder", ["coarse"]),
    ("coarse", "skip", ["fourier", "image", "noise"]),
])
def test_a_latent_that_a_network_cannot_take_is_refused_with_those_that_it_can(latent, net, taken):
    cfg = compose([f"net={net}", f"latent={latent}"])
    picture = Images("random", torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match="takes no latent of the kind") as error:
        build_generator(cfg, build_problem(cfg.task, picture, 0))
    named = str(error.value).partition("give latent= ")[2].split(", ")
    assert set(taken) <= set(named) and latent not in named


def test_coarse_is_noise_at_the_decoder_s_size():
    cfg = compose(["net=deep_decoder", "net.width=16", "net.layers=4"])
    generator = build_generator(cfg, build_problem(cfg.task, Images("random", torch.rand(1, 3, 33, 47)), 0))
    assert isinstance(generator.latent, Coarse) and generator.latent.z.shape == (1, 16, 5, 6)


@pytest.mark.parametrize(
    "net, start, kind", [("skip", "meshgrid", "coordinates"), ("deep_decoder", "coarse", "coarse")]
)
def test_any_latent_can_be_the_start_of_a_learned_one(net, start, kind):
    cfg = compose([f"net={net}", "latent=learned", f"latent@latent.start={start}"])
    generator = build_generator(cfg, build_problem(cfg.task, Images("random", torch.rand(1, 3, 64, 64)), 0))
    assert generator.latent.kind == kind and generator.latent.z.requires_grad
    assert generator(1).shape == (1, 3, 64, 64)


def test_the_jitter_grows_to_its_full_size():
    full, growing = (Noise("uniform", 0.1, 2, 0.5, ramp) for ramp in (0, 100))
    for latent in (full, growing):
        latent.prepare(8, 8, 0)
    for iteration, share in ((1, 0.01), (50, 0.5), (100, 1), (300, 1)):
        jitter = full(iteration) - full.z
        torch.testing.assert_close(growing(iteration) - growing.z, share * jitter)
        assert growing.std(iteration) == pytest.approx(0.5 * share)
    assert torch.equal(growing(None), growing.z)


def test_muon_brings_the_growing_jitter_and_the_short_average_unless_another_is_chosen():
    cfg = compose(["optimizer=muon", "net=skip"])
    assert cfg.latent.ramp > 0 and cfg.average.decay < 0.99
    cfg = compose(["optimizer=muon", "latent=fourier", "average=window"])
    assert "ramp" not in cfg.latent and "decay" not in cfg.average
    assert compose(["optimizer=muon", "net=skip_vase"]).latent._target_.endswith("Meshgrid")


@pytest.mark.parametrize("ramp", [-1, 0.5])
def test_a_wrong_ramp_is_refused(ramp):
    with pytest.raises(ValueError, match=f"latent.ramp={ramp}: give a whole number"):
        Noise("uniform", 0.1, 2, 0.5, ramp)


def test_the_jitter_follows_the_noise():
    def jitter(*options):
        cfg = compose(["latent=ramped", *options])
        picture = Images("grey", torch.full((1, 3, 64, 64), 0.5))
        return build_generator(cfg, build_problem(cfg.task, picture, 0)).latent.jitter

    assert jitter("task.sigma=25") == pytest.approx(1 / 30, rel=0.05)
    assert jitter("task.sigma=50") == pytest.approx(1 / 20, rel=0.05)
    assert jitter("task=inpaint") == 0.01 and jitter("task=super_resolution") == 0.01
    assert jitter("task=inpaint", "task/noise=gaussian") == pytest.approx(1 / 30, rel=0.1)
    assert jitter("task=mri") == pytest.approx(1 / 30)  # k-space is not a picture
    assert jitter("task.given=true") == pytest.approx(1 / 30)  # never less for a photo, whose noise is not white
    assert jitter("latent.jitter=0.02") == 0.02
