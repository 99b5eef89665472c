
import pytest
import torch
from shared import DATA, shared
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dip_lab.data.images import read_picture
from dip_lab.metrics import psnr, psnr_y, ssim
from dip_lab.png import to_uint8
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.evaluation import FullFrame, HoleFrame, LumaFrame
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.kernels import Lanczos
from dip_lab.tasks.masks import Bernoulli
from dip_lab.tasks.super_resolution import Downsample, Enlarged, PillowResize


def masking(sample, missing, per_channel=False):
    operator = Masking(Bernoulli(path=None, polarity="white", missing=missing, per_channel=per_channel))
    operator.prepare(sample, seed=0, given=False)
    return operator


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_scores_have_the_keys_of_their_rule(channels, picture):
    sample = picture(24, 31, channels)
    target, image = sample.pixels, sample.pixels.roll(1, -1)
    full = FullFrame().scores(image, target, Identity())
    written = read_back(image)
    assert full == {"psnr": psnr(image, target), "ssim": ssim(image, target), "psnr_8bit": psnr(written, target)}
    luma = LumaFrame(4).scores(image, target, Identity())
    assert luma == full | {"psnr_y": psnr_y(image, target, 4)}
    hole = HoleFrame().scores(image, target, masking(sample, 0.5))
    assert {k: hole[k] for k in full} == full and hole.keys() - full.keys() == {"psnr_hole", "ssim_hole"}


def read_back(image):
    """The image as its PNG holds it."""
    written = torch.from_numpy(to_uint8(image)).float() / 255
    return (written if written.ndim == 3 else written[..., None]).permute(2, 0, 1)[None]


@pytest.mark.parametrize("per_channel", [False, True])
def test_psnr_of_the_hole_alone(per_channel, picture):
    sample = picture(24, 31)
    operator = masking(sample, 0.3, per_channel)
    image = (sample.pixels + 0.1 * torch.randn(1, 3, 24, 31)).clamp(0, 1)
    hole = operator.hole.bool().expand_as(image)
    expected = peak_signal_noise_ratio(
        sample.pixels[hole].double().numpy(), image[hole].double().numpy(), data_range=1
    )
    scores = HoleFrame().scores(image, sample.pixels, operator)
    assert scores["psnr_hole"].item() == pytest.approx(expected, abs=1e-4)
    assert HoleFrame().scores(operator(image), operator(image), operator)["psnr_hole"] == float("inf")


@pytest.mark.parametrize("per_channel", [False, True])
def test_ssim_of_the_hole_is_that_of_scikit_image(per_channel, picture):
    sample = picture(24, 31)
    operator = masking(sample, 0.3, per_channel)
    image = (sample.pixels + 0.1 * torch.randn(1, 3, 24, 31, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    _, windows = structural_similarity(
        sample.pixels[0].double().numpy(), image[0].double().numpy(), gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=1, channel_axis=0, full=True)
    hole = operator.hole.bool().expand_as(image)[0].numpy()[:, 5:-5, 5:-5]
    assert HoleFrame().scores(image, sample.pixels, operator)["ssim_hole"].item() == pytest.approx(
        windows[:, 5:-5, 5:-5][hole].mean(), abs=1e-4)


def test_a_hole_at_the_edge_has_a_psnr_and_no_ssim(picture):
    sample, known = picture(24, 31), torch.ones(1, 1, 24, 31, dtype=torch.bool)
    known[..., :4, :] = False
    operator = Masking(lambda picture, seed: known)
    operator.prepare(sample, seed=0, given=False)
    scores = HoleFrame().scores(sample.pixels.roll(1, -1), sample.pixels, operator)
    assert scores["psnr_hole"].isfinite() and scores["ssim_hole"].isnan()


def test_the_far_border_is_cut_off_at_the_bottom_and_on_the_right():
    image, target = torch.rand(1, 3, 20, 24), torch.rand(1, 3, 20, 24)
    cut = LumaFrame(4, far_border=5).scores(image, target, Identity())["psnr_y"]
    assert cut == psnr_y(image[..., 4:15, 4:19], target[..., 4:15, 4:19], 0)
    with pytest.raises(ValueError, match="nothing is left"):
        LumaFrame(4, far_border=16).scores(image, target, Identity())
    with pytest.raises(ValueError, match=r"task\.evaluation\.far_border=-1: give a whole number"):
        LumaFrame(4, far_border=-1)


@pytest.mark.parametrize("border", [-1, 1.5, "four", None])
def test_other_borders_are_refused(border):
    with pytest.raises(ValueError, match=rf"task\.evaluation\.border={border}: give a whole number"):
        LumaFrame(border)


@shared("sr/Set5")
@pytest.mark.parametrize(("name", "figure"), [("butterfly", 22.10), ("woman", 26.47)])
def test_bicubic_baseline_is_the_known_figure(name, figure):
    (path,) = (
        p for p in (DATA / "sr" / "Set5").rglob("*.png") if p.stem.startswith(name) and "LR" not in str(p)
    )
    sample = read_picture(path)
    operator = Downsample(4, Lanczos(border="replicate", lobes=2))
    operator.prepare(sample, seed=0, given=False)
    baseline = Enlarged().observed(PillowResize(4, "bicubic")(sample.pixels, operator), operator)
    scores = LumaFrame(4).scores(baseline, sample.pixels, operator)
    assert scores["psnr_y"].item() == pytest.approx(figure, abs=0.08)


@shared("inpaint11")
def test_masked_psnr_is_the_known_mean():
    scores = []
    for path in sorted((DATA / "inpaint11").glob("*.png")):
        sample = read_picture(path)
        operator = masking(sample, 0.5)
        scores.append(HoleFrame().scores(operator(sample.pixels), sample.pixels, operator)["psnr"].item())
    assert sum(scores) / 11 == pytest.approx(8.71, abs=0.1)
