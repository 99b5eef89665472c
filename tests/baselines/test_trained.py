"""Trained restorers as baselines: which sigma they are told, what they refuse, and KAIR's published numbers."""

import logging
import os
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import SPOILED, checkpoint, run_of, spoiled
from shared import DATA, shared

from dip_lab.baselines.trained import Learned
from dip_lab.build import build_problem, load_images
from dip_lab.compose import cell_at, compose
from dip_lab.data.images import Images
from dip_lab.data.registry import digest, local, located
from dip_lab.experiment import run
from dip_lab.instantiate import instantiate
from dip_lab.runs.folder import read_result
from dip_lab.tasks.noise import Kair
from dip_lab.training.checkpoint import load
from dip_lab.training.restorer import inputs_of

DNCNN = ("baseline=dncnn", f"baseline.root={DATA}", "data=set12", f"data.root={DATA}")
KAIR = [30.21, 33.10, 30.82, 29.36, 30.41, 29.07, 29.44, 32.41, 30.01, 30.20, 30.08, 30.08]  # Set12, sigma 25
FREE = {"noise_map": True, "maps": 1, "sigma": (0.0, 55.0)}


def test_a_grey_restorer_is_the_network(face, problem_of, tmp_path):
    path, problem = checkpoint(tmp_path / "grey.pt"), problem_of(face(channels=1), "task.sigma=25")
    image = Learned(str(path))(problem)
    assert image.shape == problem.image_shape and image.dtype == torch.float32
    assert torch.equal(image, load(str(path)).restorer(problem.observation).clamp(0, 1))


def test_a_run_and_its_file_are_the_same(face, problem_of, tmp_path):
    folder, problem = run_of(tmp_path / "run"), problem_of(face(channels=1), "task.sigma=25")
    whole, file = Learned(str(folder)), Learned(str(folder / "checkpoints" / "best.ckpt"))
    assert torch.equal(whole(problem), file(problem)) and whole.about == file.about
    assert whole.about["data"] == "train/folder" and len(whole.about["sha256"]) == 64


@pytest.mark.parametrize("sigma, task, told, by", [
    (None, "task.sigma=25", 25, "task"), (None, "task/noise=poisson", None, "estimate"),
    ("blind", "task.sigma=25", None, "estimate"), (40, "task.sigma=25", 40, "given")])
def test_what_a_noise_map_says(sigma, task, told, by, face, problem_of, tmp_path):
    path, problem = checkpoint(tmp_path / "map.pt", **FREE), problem_of(face(channels=1), task)
    learned = Learned(str(path), sigma=sigma)
    image = learned(problem)
    told = 255 * problem.noise_std() if told is None else told
    assert learned.about["told"] == pytest.approx(told, abs=0.01) and learned.about["told_by"] == by
    inputs = inputs_of(problem, torch.tensor([told / 255]))
    assert torch.allclose(image, load(str(path)).restorer(inputs).clamp(0, 1), atol=1e-5)


def test_a_given_observation_is_estimated(face, problem_of, tmp_path):
    learned = Learned(str(checkpoint(tmp_path / "map.pt", **FREE)))
    learned(problem_of(face(channels=1), "task.given=true"))
    assert learned.about["told_by"] == "estimate"


def test_an_estimate_outside_the_range_is_the_nearest_with_one_warning(face, problem_of, tmp_path, caplog):
    learned = Learned(str(checkpoint(tmp_path / "map.pt", **{**FREE, "sigma": (5.0, 10.0)})), sigma="blind")
    problem = problem_of(face(channels=1), "task.sigma=40")
    for _ in range(2):  # as the frames of a clip
        learned(problem)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and "map.pt was trained for 5 to 10: it is told 10" in warnings[0]
    assert learned.about["told"] == 10


@pytest.mark.parametrize("changes", [{}, {"noise_map": True, "maps": 1}])
@pytest.mark.parametrize("sigma, works", [(25, True), (26, True), (24, True), (27, False), (15, False)])
def test_the_sigma_of_the_task_is_checked(sigma, works, changes, face, problem_of, tmp_path):
    learned = Learned(str(checkpoint(tmp_path / "one.pt", **changes)))
    problem = problem_of(face(channels=1), f"task.sigma={sigma}")
    if works:
        learned(problem)
    else:
        with pytest.raises(ValueError, match=f"^task.sigma={sigma}: one.pt was trained for sigma 25: give another"):
            learned(problem)


def test_the_sigma_that_a_person_gives_is_checked(face, problem_of, tmp_path):
    learned = Learned(str(run_of(tmp_path / "my_run", **FREE)), sigma=70)
    with pytest.raises(ValueError, match="^baseline.sigma=70: my_run was trained for sigma 0 to 55: give another"):
        learned(problem_of(face(channels=1), "task.sigma=25"))


def test_a_range_that_the_file_does_not_say(face, problem_of, tmp_path):
    path = str(checkpoint(tmp_path / "one.pt", sigma=None))
    problem = problem_of(face(channels=1), "task.sigma=50")
    Learned(path)(problem)
    with pytest.raises(ValueError, match="^task.sigma=50: one.pt was trained for sigma 15 to 25"):
        Learned(path, sigma_range=[15, 25])(problem)


def test_grey_for_colour_is_each_channel(face, problem_of, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    learned = Learned(str(checkpoint(tmp_path / "grey.pt", **FREE)))
    colour = problem_of(face(channels=3), "task.sigma=25")
    image, grey = learned(colour), load(str(tmp_path / "grey.pt")).restorer
    sigma = torch.full((1, 1, *image.shape[-2:]), 25 / 255)
    for channel in range(3):
        alone = grey(torch.cat([colour.observation[:, channel:channel + 1], sigma], 1)).clamp(0, 1)
        assert torch.allclose(image[:, channel:channel + 1], alone, atol=1e-6)
    assert sum("restores each channel on its own" in record.getMessage() for record in caplog.records) == 1


def test_colour_for_grey_is_the_mean_of_three(face, problem_of, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    learned = Learned(str(checkpoint(tmp_path / "colour.pt", channels=3)))
    problem = problem_of(face(channels=1), "task.sigma=25")
    restorer = load(str(tmp_path / "colour.pt")).restorer
    expected = restorer(problem.observation.expand(1, 3, -1, -1)).mean(1, keepdim=True).clamp(0, 1)
    assert torch.allclose(learned(problem), expected, atol=1e-6)
    assert any("three equal channels" in record.getMessage() for record in caplog.records)


def test_one_file_for_grey_and_one_for_colour(face, problem_of, tmp_path):
    files = {"grey": str(checkpoint(tmp_path / "grey.pt")), "colour": str(checkpoint(tmp_path / "c.pt", channels=3))}
    learned = Learned(files)
    for channels, kind in ((1, "grey"), (3, "colour")):
        problem = problem_of(face(channels=channels), "task.sigma=25")
        assert torch.equal(learned(problem), Learned(files[kind])(problem))


@pytest.mark.parametrize("channels", [1, 3])
def test_windows_equal_the_whole(channels, problem_of, tmp_path):
    pixels = torch.rand(1, channels, 70, 93, generator=torch.Generator().manual_seed(1))
    path = str(checkpoint(tmp_path / "map.pt", **FREE))
    problem = problem_of(Images("large", pixels), "task.sigma=25")
    whole = Learned(path, tile=None)(problem)
    assert torch.allclose(Learned(path, tile=40, overlap=8)(problem), whole, atol=1e-5)


def test_another_task_or_setting_is_refused(face, problem_of, tmp_path):
    denoiser = Learned(str(checkpoint(tmp_path / "one.pt")))
    with pytest.raises(ValueError, match="was trained for task=denoise, not for inpaint: try baseline=biharmonic$"):
        denoiser(problem_of(face(channels=1), "task=inpaint"))
    four = Learned(str(checkpoint(tmp_path / "four.pt", task="super_resolution", settings={"factor": 4}, sigma=None)))
    four(problem_of(face(32, 48, channels=1), "task=super_resolution"))
    with pytest.raises(ValueError, match="^task.factor=8: .*four.pt was trained for factor=4: give task.factor=4"):
        four(problem_of(face(32, 48, channels=1), "task=super_resolution", "task.factor=8"))


def test_a_mask_is_among_the_planes(face, problem_of, tmp_path):
    learned = Learned(str(checkpoint(tmp_path / "holes.pt", task="inpaint", maps=1, sigma=None, noise=None)))
    assert learned(problem_of(face(channels=1), "task=inpaint")).shape == (1, 1, 33, 47)
    with pytest.raises(ValueError, match="takes pictures of 1 channels and 3 maps, face has 2 planes"):
        Learned(str(checkpoint(tmp_path / "more.pt", task="inpaint", maps=3, sigma=None)))(
            problem_of(face(channels=1), "task=inpaint"))


@pytest.mark.parametrize("values, message", [
    ({"checkpoint": None}, r"^baseline=trained needs weights: give baseline.checkpoint=outputs/train/<run>"),
    ({"checkpoint": 7}, r"^baseline.checkpoint=7: give the name of a file"),
    ({"checkpoint": {"grey": "a.pt"}}, r"^baseline.checkpoint={'grey': 'a.pt'}: give one file, or one as grey and one"),
    ({"sigma": "blnd"}, r"^baseline.sigma=blnd: give a number at least 0, in 8-bit units, or blind$"),
    ({"sigma": -1}, r"^baseline.sigma=-1: give a number at least 0"),
    ({"sigma_range": [30, 20]}, r"^baseline.sigma_range=\[30, 20\]: give the lowest and the highest sigma"),
    ({"sigma_range": 25}, r"^baseline.sigma_range=25: give the lowest"),
    ({"tile": 8}, r"^baseline.tile=8: give a whole number of at least 32$"),
    ({"tile": 64, "overlap": 32}, r"^baseline.overlap=32: give a whole number from 0 to 31$"),
])
def test_wrong_values(values, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Learned(**{"checkpoint": str(checkpoint(tmp_path / "one.pt")), **values})


@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_checkpoint_is_one_line(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, message = spoiled(tmp_path)[kind]
    with pytest.raises(ValueError, match=message) as caught:
        Learned(str(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not Path("executed").exists(), "code of the file was run"


def test_weights_that_change_are_read_again(face, problem_of, tmp_path):
    path, problem = checkpoint(tmp_path / "one.pt"), problem_of(face(channels=1), "task.sigma=25")
    before = Learned(str(path))(problem)
    checkpoint(path, options={"width": 5, "layers": 4, "norm": "none"})
    assert not torch.equal(before, Learned(str(path))(problem))


def hashed(path):
    cfg = compose(["baseline=trained", f"baseline.checkpoint={path}", "logger=none", "name=x"])
    return cell_at(cfg, cfg.hydra, None).hash


def test_a_cell_counts_the_content_of_its_checkpoint(tmp_path):
    run_of(tmp_path / "one")
    run_of(tmp_path / "two")
    first = hashed(tmp_path / "one")
    assert first == hashed(tmp_path / "two") == hashed(checkpoint(tmp_path / "same.pt"))
    run_of(tmp_path / "one", sigma=(20.0, 25.0))
    os.utime(tmp_path / "one" / "checkpoints" / "best.ckpt", ns=(1, 1))
    assert hashed(tmp_path / "one") != first


@pytest.mark.parametrize("frames", [1, 2])
def test_the_summary_says_what_it_is(frames, face, tmp_path, one_thread, without_plots):
    path = run_of(tmp_path / "run", **FREE)
    cfg = compose(["baseline=trained", f"baseline.checkpoint={path}", "task.sigma=25", "logger=none", "name=x"])
    folder = tmp_path / "cell"
    folder.mkdir()
    pictures = Images("face", face(channels=1).pixels.expand(frames, -1, -1, -1).contiguous(), clean=True)
    run(cfg, cell_at(cfg, cfg.hydra, folder), pictures)
    restorer = read_result(folder)["restorer"]
    assert restorer["net"] == "dncnn" and restorer["sigma"] == [0, 55] and restorer["told"] == 25
    assert restorer["data"] == "train/folder" and restorer["sha256"] == load(str(path)).sha256


def test_other_baselines_have_no_restorer(face, one_thread):
    cfg = compose(["baseline=median", "task.sigma=25", "logger=none", "name=x"])
    assert run(cfg, cell_at(cfg, cfg.hydra, None), face(channels=1)).summary["restorer"] is None


@pytest.mark.parametrize("channels", [1, 3])
def test_kairs_noise_is_numpys(channels):
    clean = torch.rand(2, channels, 5, 7, generator=torch.Generator().manual_seed(0))
    noisy = Kair(25)(clean, seed=3)
    state = np.random.get_state()
    for picture, after in zip(clean, noisy, strict=True):
        x = picture.permute(1, 2, 0).numpy().squeeze()
        np.random.seed(0)
        x = x + np.random.normal(0, 25 / 255, x.shape)
        assert np.allclose(after.permute(1, 2, 0).numpy().squeeze(), x, atol=1e-6)
    np.random.set_state(state)
    assert noisy.max() > 1


def kair_of(number):
    cfg = compose([*DNCNN, f"data.name={number:02d}", "task.sigma=25", "task/noise=kair"])
    problem = build_problem(cfg.task, load_images(cfg.data), seed=5)
    return problem.scores(instantiate(cfg.baseline)(problem))["psnr_8bit"]


@shared("Set12", "weights")
def test_one_published_number():
    assert kair_of(1) == pytest.approx(KAIR[0], abs=0.005)


@pytest.mark.slow
@shared("Set12", "weights")
def test_the_published_numbers():
    measured = [kair_of(number) for number in range(1, 13)]
    assert measured == pytest.approx(KAIR, abs=0.0051)
    assert statistics.fmean(measured) == pytest.approx(30.436, abs=0.01)  # https://arxiv.org/abs/1608.03981


@shared("Set12", "weights")
def test_dncnn_is_for_one_sigma():
    cfg = compose([*DNCNN, "data.name=01", "task.sigma=50"])
    problem = build_problem(cfg.task, load_images(cfg.data), seed=0)
    with pytest.raises(ValueError, match="^task.sigma=50: dncnn_25.pth was trained for sigma 25"):
        instantiate(cfg.baseline)(problem)


def test_the_denoiser_of_the_package_says_what_is_missing(face, problem_of, baseline_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # its files are found from anywhere
    node = compose(["baseline=denoiser"]).baseline
    assert set(node.checkpoint) == {"grey", "colour"}
    for channels, kind in ((1, "grey"), (3, "colour")):
        there = Path(load.__code__.co_filename).parents[1] / "weights" / Path(node.checkpoint[kind]).name
        problem = problem_of(face(channels=channels), "task.sigma=25")
        if there.is_file():
            assert baseline_of("denoiser")(problem).shape == problem.image_shape
        else:
            with pytest.raises(ValueError, match=f"^{node.checkpoint[kind]}: there is no such file$"):
                baseline_of("denoiser")(problem)


def test_a_file_of_the_package_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located("dip_lab/data/registry.csv").is_file() and digest("dip_lab/data/registry.csv")
    assert local("data/registry.csv") is None
