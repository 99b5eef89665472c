"""The answer of a baseline as the network's input."""

from dataclasses import replace

import pytest
import torch

from dip_lab.build import build_generator, build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.instantiate import instantiate
from dip_lab.latents.baseline import Answered

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = ("net.width=4", "net.depth=2", "precision=float32", "logger=none")


def picture(frames=1, channels=3, height=19, width=22):
    pixels = torch.rand(frames, channels, height, width, generator=torch.Generator().manual_seed(0))
    return Images("noise", pixels, clean=True, selection=slice(0, None, 1))


def built(*overrides, images=None):
    cfg = compose([*TINY, *overrides])
    problem = build_problem(cfg.task, images or picture(), cfg.seed)
    return build_generator(cfg, problem), problem, cfg


@pytest.mark.parametrize("task, baseline", [("inpaint", "biharmonic"), ("inpaint", "voronoi"), ("denoise", "nlm"),
                                            ("denoise", "denoiser"), ("super_resolution", "bicubic")])
def test_z_is_the_answer(task, baseline):
    generator, problem, cfg = built(f"task={task}", "latent=baseline", f"baseline@latent.baseline={baseline}")
    answer = instantiate(compose([f"task={task}", f"baseline={baseline}"]).baseline)(problem)
    assert torch.equal(generator._crop(generator.latent.z), answer)
    assert generator.latent.depth == 3 and generator().shape == problem.image_shape


def test_noise_channels_follow():
    generator, _, _ = built("task=inpaint", "latent=baseline", "latent.noise_depth=5", "latent.scale=0.1")
    z = generator.latent.z
    assert generator.latent.depth == z.shape[1] == 8
    assert 0 <= z[:, 3:].min() and 0.09 < z[:, 3:].max() < 0.1


def test_the_target_is_not_seen():
    def baseline(problem):
        assert problem.target is None
        return problem.observation

    problem = build_problem(compose(["task=inpaint"]).task, picture(), seed=0)
    latent = Answered(baseline, noise_depth=0, scale=1, jitter=0)
    latent.setup(problem)
    assert torch.equal(latent.guide, problem.observation) and problem.target is not None


def test_each_frame_of_a_clip_has_its_own():
    generator, problem, _ = built("task=inpaint", "latent=baseline", images=picture(frames=5))
    biharmonic = instantiate(compose(["baseline=biharmonic"]).baseline)
    for t in range(5):
        answer = biharmonic(problem.part(slice(t, t + 1)))
        assert torch.equal(generator._crop(generator.keys[t : t + 1]), answer)


def test_the_seed_is_that_of_the_fit(fit_tiny):
    pytest.importorskip("patchmatch")
    overrides = ("task=inpaint", "task/mask=box", "latent=baseline", "baseline@latent.baseline=patchmatch")
    first, again, other = (built(*overrides, f"seed={seed}", images=picture(1, 3, 48, 48))[0].latent.z
                           for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("key, overrides", [
    ("latent.baseline", ("latent=baseline", "baseline@latent.baseline=nlm")),
    ("regularizer.towards.baseline", ("regularizer=towards", "baseline@regularizer.towards.baseline=nlm"))])
def test_a_baseline_for_another_task_is_refused_before_the_first_iteration(key, overrides, fit_tiny):
    with pytest.raises(ValueError, match=rf"^baseline=nlm works for task=denoise only: try baseline=biharmonic; "
                                         rf"{key} is the baseline meant: choose another by baseline@{key}=\.\.\.$"):
        fit_tiny("task=inpaint", *overrides)


@pytest.mark.parametrize("key, option", [("latent.baseline", "latent=baseline"),
                                         ("regularizer.towards.baseline", "regularizer=towards")])
def test_no_baseline_is_refused(key, option, fit_tiny):
    with pytest.raises(ValueError, match=rf"^{key} names no baseline: give baseline@{key}=patchmatch"):
        fit_tiny("task=inpaint", option, f"baseline@{key}=none")


def test_sure_needs_the_observation(fit_tiny):
    with pytest.raises(ValueError, match="stopping=sure needs the observation as the network's input"):
        fit_tiny("latent=baseline", "baseline@latent.baseline=median", "stopping=sure")


def test_the_command_tells_hybrids_apart(command):
    tiny = ("data.size=24", "net.width=4", "net.depth=2", "iterations=2", "logger=none", "task=inpaint", "name=hybrids",
            "precision=float32")
    code, printed = command("-m", "latent=baseline", "baseline@latent.baseline=voronoi,cubic", *tiny)
    assert code == 0, printed
    assert "latent.baseline" in printed and "voronoi" in printed and "cubic" in printed


def test_it_fits_what_it_starts_from(fit_tiny):
    images = replace(picture(height=24, width=24), clean=True)
    hybrid, plain = (fit_tiny("task=inpaint", f"latent={latent}", "stopping=fixed", picture=images).summary["psnr"]
                     for latent in ("baseline", "noise"))
    assert hybrid > plain
