"""A clip fitted by one network: which frames an iteration makes, from which latent, and the result of a fit."""

import pytest
import torch
from PIL import Image

from dip_lab.build import build_generator, build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.video.mode import Mode

pytestmark = pytest.mark.usefixtures("one_thread", "without_plots")
TINY = ("net.width=4", "net.depth=2", "precision=float32", "logger=none")


def clip(frames=9, channels=3, height=16, width=18):
    pixels = torch.rand(frames, channels, height, width, generator=torch.Generator().manual_seed(0))
    return Images("clip", pixels, selection=slice(0, None, 1))


def generator_of_clip(*overrides, picture=None):
    cfg = compose([*TINY, *overrides])
    return build_generator(cfg, build_problem(cfg.task, picture or clip(), cfg.seed))


def test_an_iteration_makes_consecutive_frames_and_all_get_their_turn():
    generator = generator_of_clip()
    seen = torch.zeros(9)
    for iteration in range(1, 200):
        frames = generator.frames_of(iteration)
        assert frames.stop - frames.start == 4 and 0 <= frames.start and frames.stop <= 9
        assert frames == generator.frames_of(iteration)
        seen[frames] += 1
    assert seen.min() > 0.4 * seen.max()


def test_the_latent_moves_linearly_between_keyframes():
    generator = generator_of_clip("video.keyframes=4", "latent.jitter=0", "video.batch=9")
    z = generator._input(None, slice(0, 9))
    assert len(generator.keys) == 3 and torch.equal(z[[0, 4, 8]], generator.keys)
    assert torch.allclose(z[1], 0.75 * z[0] + 0.25 * z[4])
    assert not torch.allclose(generator.keys[0], generator.keys[1])


def test_jitter_is_that_of_the_iteration():
    generator = generator_of_clip("latent=noise", "latent.jitter=0.1")
    first, second, again = (generator._input(iteration, slice(2, 6)).clone() for iteration in (1, 2, 1))
    assert torch.equal(first, again) and 0.08 < float((first - second).std()) / 2**0.5 < 0.12


def test_the_whole_clip_is_kept_beside_the_batch():
    generator = generator_of_clip()
    image = generator(1)
    whole, frames = generator.whole(image, 1), generator.frames_of(1)
    assert image.shape == (4, 3, 16, 18) and whole.shape == (9, 3, 16, 18)
    assert torch.equal(whole[frames], image)
    missing = [t for t in range(9) if t not in range(9)[frames]]
    assert torch.allclose(whole[missing], image.mean(0).expand(len(missing), -1, -1, -1))
    before = whole.clone()
    later = next(i for i in range(2, 50) if generator.frames_of(i) != frames)
    after = generator.whole(generator(later), later)
    kept = [t for t in range(9) if t not in range(9)[generator.frames_of(later)]]
    assert torch.equal(after[kept], before[kept])
    assert generator(None).shape == (9, 3, 16, 18)


def test_the_observation_as_latent_is_that_of_each_frame():
    picture = clip(5)
    generator = generator_of_clip("latent=image", "task/noise=none", picture=picture)
    assert torch.equal(generator._crop(generator._input(None, slice(0, 5))), picture.pixels)


@pytest.mark.parametrize("latent, words", [("meshgrid", "is the same for all images of a stack"),
                                           ("learned", "follows a single picture"),
                                           ("self_guided", "follows a single picture"),
                                           ("aseq", "follows a single picture")])
def test_other_latents_are_refused(latent, words):
    with pytest.raises(ValueError, match=f"{words}.*: use latent=noise, or video=per_frame$"):
        generator_of_clip(f"latent={latent}")


@pytest.mark.parametrize("values, key", [
    ({"chunk": 0}, "chunk"), ({"overlap": 8}, "overlap"), ({"batch": 0}, "batch"), ({"keyframes": 0}, "keyframes"),
    ({"kernel": 2}, "kernel"), ({"kernel": 5}, "kernel"),
])
def test_wrong_values_name_their_key(values, key):
    with pytest.raises(ValueError, match=f"^video.{key}="):
        Mode(**{"chunk": 8, "overlap": 2, "batch": 4, "keyframes": 8, "kernel": 1, "fps": 12} | values)


@pytest.mark.parametrize("task", ["denoise", "inpaint", "super_resolution"])
@pytest.mark.parametrize("mode", ["shared", "3d", "per_frame"])
def test_every_mode_restores_a_clip(mode, task, fit_tiny, tmp_path):
    restoration = fit_tiny(f"video={mode}", f"task={task}", "iterations=10", folder=tmp_path, picture=clip(5))
    summary, answer = restoration.summary, restoration.answer
    assert restoration.image.shape == (5, 3, 16, 18) and restoration.numpy().shape == (5, 16, 18, 3)
    assert summary["frames"] == 5 and summary["temporal_error"] > 0 and summary["warping_error"] > 0
    assert summary["psnr"] == pytest.approx(sum(row["psnr"] for row in restoration.frames) / 5)
    assert sorted(path.name for path in (tmp_path / answer).iterdir()) == [f"{i:05d}.png" for i in range(1, 6)]
    for film in (f"{answer}.mp4", f"{answer}_side_by_side.mp4"):
        assert (tmp_path / film).stat().st_size > 500
    assert len((tmp_path / "frames.csv").read_text().splitlines()) == 6
    with Image.open(tmp_path / f"{answer}.png") as picture:
        assert picture.size == (18, 16)


def test_chunks_are_fitted_one_by_one_and_blended(fit_tiny, tmp_path):
    restoration = fit_tiny("video.chunk=4", "video.overlap=1", "iterations=10", folder=tmp_path, picture=clip(9))
    assert restoration.image.shape == (9, 3, 16, 18) and len(restoration.summary["parts"]) == 3
    assert restoration.summary["iterations"] == 10
    assert [part["iterations"] for part in restoration.summary["parts"]] == [10, 10, 10]
    assert len((tmp_path / "history.csv").read_text().splitlines()) == len(restoration.history.rows) + 1 > 2


def test_modes_see_the_same_observation(fit_tiny):
    digests = {fit_tiny(f"video={mode}", "iterations=1", picture=clip(4)).summary["observation"]
               for mode in ("shared", "per_frame", "3d")}
    assert len(digests) == 1


def test_each_frame_has_noise_and_holes_of_its_own(tmp_path):
    picture = Images("grey", torch.full((3, 1, 32, 32), 0.5), selection=slice(1, None, 2))
    for t in range(7):
        mask = Image.new("L", (32, 32), 255)
        mask.paste(0, (4 * t, 0, 4 * t + 4, 32))
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask.save(tmp_path / "masks" / f"{t}.png")
    cfg = compose([*TINY, "task=inpaint", "task/noise=gaussian", f"task.mask.path={tmp_path / 'masks'}"])
    problem = build_problem(cfg.task, picture, 0)
    assert [int(known[0, 0].argmin()) for known in problem.operator.known] == [4, 12, 20]
    noise = problem.observation - picture.pixels * problem.operator.known
    assert 20 / 255 < float(noise[problem.operator.known > 0].std()) < 26 / 255
    assert not torch.equal(noise[0, :, :, 24:], noise[1, :, :, 24:]) and float(noise[0, :, :, 4:8].abs().max()) == 0
    assert float(problem.misfit(picture.pixels[1:2], slice(1, 2))) == pytest.approx(float(noise[1].square().mean()))
    part = problem.part(slice(1, 3))
    assert torch.equal(part.operator.known, problem.operator.known[1:3]) and len(part.observation) == 2


def test_a_baseline_restores_frame_by_frame(fit_tiny, tmp_path):
    restoration = fit_tiny("baseline=nlm", folder=tmp_path, picture=clip(3))
    assert restoration.image.shape == (3, 3, 16, 18) and (tmp_path / "frames.csv").exists()
