import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.instantiate import instantiate
from dip_lab.tasks import fusion
from dip_lab.tasks.fusion import (
    Brightest,
    Contrasted,
    Equal,
    Fused,
    FusionMisfit,
    FusionScores,
    Sources,
    Steepest,
    WellExposed,
)

KINDS = ("multifocus", "infrared", "medical", "exposure")
RULES = {"equal": Equal(), "brightest": Brightest(), "steepest": Steepest(0), "steepest-2": Steepest(2),
         "contrasted": Contrasted(1.5, 2), "well-exposed": WellExposed(0.2, 3)}


def scene(sources=2, channels=3, height=17, width=23, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return Images("scene", torch.rand(sources, channels, height, width, generator=generator))


def prepared(picture):
    operator = Sources()
    operator.prepare(picture, seed=0, given=True)
    return operator


def view_of(picture):
    view = Fused()
    view.prepare(picture)
    return view


def misfit(intensity=0, gradient=0, structure=0, rule=None):
    rule = rule or Equal()
    return FusionMisfit(intensity, gradient, structure, rule, rule, rule)


def test_luma_and_chroma_are_those_of_jpeg():
    pixels = scene().pixels.mul(255).round() / 255
    rgb = pixels[0].permute(1, 2, 0).numpy()
    ycbcr = np.array(Image.fromarray((rgb * 255).round().astype(np.uint8)).convert("YCbCr")).astype(float)
    assert np.abs(fusion.full_luma(pixels)[0, 0].numpy() * 255 - ycbcr[..., 0]).max() < 1.01  # Pillow cuts off
    assert np.abs(fusion.chroma(pixels)[0].permute(1, 2, 0).numpy() * 255 + 128 - ycbcr[..., 1:]).max() < 1.01
    studio = rgb2ycbcr(rgb)[..., 0]  # 16 .. 235
    assert np.allclose((studio - 16) / 219, fusion.full_luma(pixels)[0, 0], atol=2e-3)


def test_colour_comes_back():
    pixels = scene(1).pixels
    assert torch.allclose(fusion.coloured(fusion.full_luma(pixels), fusion.chroma(pixels)), pixels, atol=1e-6)
    view = view_of(Images("twice", pixels.expand(2, -1, -1, -1)))
    assert torch.allclose(view.shown(fusion.full_luma(pixels)), pixels, atol=1e-6)


def test_a_grey_source_leaves_the_colour_of_the_other():
    colour, grey = scene(1).pixels, scene(1, 1).pixels.expand(-1, 3, -1, -1)
    view = view_of(Images("pet", torch.cat([colour, grey])))
    assert torch.allclose(view.colour, fusion.chroma(colour), atol=1e-6)
    assert torch.allclose(view.shown(fusion.full_luma(colour)), colour, atol=1e-5)


def test_chroma_is_blended_by_its_strength():
    chroma = torch.tensor([0.3, -0.1]).reshape(2, 1, 1, 1).expand(-1, 2, 1, 1)
    assert torch.allclose(fusion.blended(chroma), torch.tensor((0.3 * 0.3 - 0.1 * 0.1) / 0.4))
    assert not fusion.blended(torch.zeros(2, 2, 1, 1)).any()


@pytest.mark.parametrize("sources", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(sources, channels):
    picture = scene(sources, channels)
    operator, view = prepared(picture), view_of(picture)
    observation = operator.given(picture.pixels)
    assert observation.shape == (1, sources, 17, 23) and operator.image_shape((sources, 17, 23)) == (1, 17, 23)
    assert torch.equal(observation[:, 1], fusion.full_luma(picture.pixels)[1])
    assert torch.allclose(view.observed(observation, operator)[0, 0], observation[0].mean(0))
    assert torch.equal(view.guide(observation, operator), observation)
    assert view.shown(torch.rand(1, 1, 17, 23)).shape == (1, channels, 17, 23)
    assert not operator.state_dict() and not view.state_dict()


def test_a_window_has_its_colour():
    operator, view = prepared(scene()), view_of(scene())
    rows, columns = slice(3, 11), slice(2, 20)
    _, part_rows, part_columns = operator.window(rows, columns)
    image = torch.rand(1, 1, 17, 23)
    assert (part_rows, part_columns) == (rows, columns)
    part = view.window(rows, columns)
    assert torch.equal(part.shown(image[..., rows, columns]), view.shown(image)[..., rows, columns])
    assert view.colour.shape[-2:] == (17, 23)
    assert view_of(scene(channels=1)).window(rows, columns).colour is None


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"^task=fusion needs two or more sources: give data=sources data\.paths="):
        Sources().prepare(scene(1), seed=0, given=True)
    with pytest.raises(ValueError, match=r"^task=fusion has no target: leave task\.given=true"):
        Sources().prepare(scene(), seed=0, given=False)
    with pytest.raises(ValueError, match=r"^task\.misfit\.gradient=-1: give a number at least 0"):
        misfit(gradient=-1)
    with pytest.raises(ValueError, match=r"^task\.misfit\.\*_from\.sigma=-1"):
        Steepest(-1)
    with pytest.raises(ValueError, match="nothing that can be held out: choose stopping=fixed"):
        misfit(1)(torch.rand(1, 1, 9, 9), torch.rand(1, 2, 9, 9), torch.ones(1, 2, 9, 9))


@pytest.mark.parametrize("name", RULES)
def test_rules_share_each_pixel_among_the_sources(name):
    sources = scene(1, 3).pixels
    weights = RULES[name](sources)
    assert weights.shape == sources.shape and weights.min() >= 0
    assert torch.allclose(weights.sum(1), torch.ones(1, 17, 23))
    same = RULES[name](sources[:, :1].expand(-1, 3, -1, -1))
    assert torch.allclose(same, torch.tensor(1 / 3), atol=1e-6)
    flat = torch.tensor([0.5, 0.5]).reshape(1, 2, 1, 1).expand(-1, -1, 9, 9)
    assert torch.allclose(RULES[name](flat), torch.tensor(0.5), atol=1e-3)


def test_rules_choose_what_they_say():
    dark, light = torch.full((1, 1, 16, 16), 0.05), torch.full((1, 1, 16, 16), 0.45)
    both = torch.cat([dark, light], 1)
    assert torch.equal(Brightest()(both)[:, 1:], torch.ones_like(light))
    assert (WellExposed(0.2, 0)(both)[:, 1] > 0.85).all()
    texture = light + 0.2 * torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    both = torch.cat([texture, dark], 1)
    assert torch.equal(Steepest(2)(both)[:, :1], torch.ones_like(light))
    assert (Contrasted(1.5, 2)(both)[:, 0] > 0.9).all()


def test_sobel_and_the_gaussian_are_scipys():
    x = scene(1, 1).pixels.double()
    along, down = fusion.sobel(x)[0].numpy()
    assert np.allclose(along, ndimage.sobel(x[0, 0].numpy(), axis=1)[1:-1, 1:-1])
    assert np.allclose(down, ndimage.sobel(x[0, 0].numpy(), axis=0)[1:-1, 1:-1])
    inside = (slice(5, -5), slice(5, -5))
    expected = ndimage.gaussian_filter(x[0, 0].numpy(), 1.5, truncate=3.5)
    assert np.allclose(fusion.smoothed(x, 1.5)[0, 0].numpy()[inside], expected[inside])
    assert torch.allclose(fusion.smoothed(torch.full_like(x, 0.3), 4), torch.tensor(0.3).double())
    assert torch.allclose(fusion.smoothed(x, 0), x)


def test_terms_in_closed_form():
    generator = torch.Generator().manual_seed(2)
    image, sources = torch.rand(1, 1, 9, 12, generator=generator), torch.rand(1, 2, 9, 12, generator=generator)
    level = sources.mean(1, keepdim=True)
    assert torch.allclose(misfit(intensity=2)(image, sources, None), 2 * F.l1_loss(image, level))
    slopes = [ndimage.sobel((image - level)[0, 0].numpy(), axis=axis)[1:-1, 1:-1] for axis in (0, 1)]
    expected = 3 * sum(np.abs(each).mean() for each in slopes)
    assert misfit(gradient=3)(image, sources, None).item() == pytest.approx(expected, rel=1e-5)


def test_the_structural_term_is_ssim():
    generator = torch.Generator().manual_seed(2)
    image, sources = torch.rand(1, 1, 15, 18, generator=generator), torch.rand(1, 2, 15, 18, generator=generator)
    probe, inside = misfit(structure=1), (slice(5, -5), slice(5, -5))
    probe.structure_from = lambda y: torch.zeros_like(y).index_fill_(1, torch.tensor(0), 1.0)
    probe(image, sources, None)
    goal = probe._goal
    goal.share = torch.zeros_like(goal.share)
    goal.share[0, 0][inside] = 1.0 * goal.share[0, 0].numel() / goal.share[0, 0][inside].numel()
    expected = structural_similarity(image[0, 0].double().numpy(), sources[0, 0].double().numpy(), data_range=1,
                                     gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert 1 - probe(image, sources, None).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_presets(kind):
    preset = instantiate(compose(["task=fusion", f"task/misfit=fuse_{kind}"]).task.misfit)
    sources = scene(1, 2).pixels
    image = sources.mean(1, keepdim=True).requires_grad_()
    loss = preset(image, sources, None)
    assert loss.shape == () and loss.dtype == torch.float32 and loss.isfinite()
    (gradient,) = torch.autograd.grad(loss, image)
    assert gradient.isfinite().all() and gradient.any()
    same = sources[:, :1].expand(-1, 2, -1, -1)
    assert preset(sources[:, :1], same, None).item() == pytest.approx(0, abs=1e-4), "all sources are equal: done"


def test_the_goal_is_made_once_for_the_same_sources():
    calls = []

    class Counted(Equal):
        def __call__(self, sources):
            calls.append(1)
            return super().__call__(sources)

    probe, sources = misfit(1, 1, 1, Counted()), scene(1, 2).pixels
    for _ in range(3):
        probe(torch.rand(1, 1, 17, 23), sources[:], None)  # a new view, as the problem gives it
    assert len(calls) == 3  # one for each rule
    other = probe(torch.zeros(1, 1, 17, 23), sources.flip(-1).contiguous(), None)
    assert len(calls) == 6
    assert torch.allclose(other, misfit(1, 1, 1)(torch.zeros(1, 1, 17, 23), sources.flip(-1), None))


def test_stacked_windows_have_goals_of_their_own():
    sources, image = scene(3, 2).pixels, scene(3, 1, seed=6).pixels
    each = [misfit(1, 1, 1, Steepest(1))(image[i : i + 1], sources[i : i + 1], None) for i in range(3)]
    assert torch.allclose(misfit(1, 1, 1, Steepest(1))(image, sources, None), torch.stack(each).mean(), atol=1e-6)


def test_in_float32_under_autocast():
    probe, sources, image = misfit(1, 1, 1), scene(1, 2).pixels, scene(1, 1).pixels
    expected = misfit(1, 1, 1)(image, sources, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(probe(image, sources, None), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_problem(channels):
    problem = build_problem(compose(["task=fusion"]).task, scene(2, channels), seed=0)
    assert problem.target is None and problem.image_shape == (1, 1, 17, 23) and problem.observation.shape[1] == 2
    assert problem.misfit(problem.observed()).isfinite() and problem.scores(problem.observed()) == {}
    assert problem.guide().shape == (1, 2, 17, 23)
    shown = problem.shown(problem.observed())
    figures = [FusionScores().final(image, problem) for image in (problem.observed(), shown)]
    assert figures[0].keys() == {"en", "mi", "sd", "sf", "ag", "scd", "qabf", "ssim_sources"}
    assert figures[0]["ssim_sources"] == pytest.approx(figures[1]["ssim_sources"], abs=0.05), "luma of the colour"
    flat = FusionScores().final(torch.full((1, 1, 17, 23), 0.4), problem)
    assert flat["en"] == flat["sd"] == flat["ag"] == 0
    part = problem.part(slice(None), slice(0, 10), slice(4, 20))
    assert part.image_shape == (1, 1, 10, 16) and part.misfit(part.observed()).isfinite()


def test_the_task_chooses_its_latent_and_its_rule():
    cfg = compose(["task=fusion"])
    assert cfg.latent._target_.endswith("ImageLatent") and cfg.stopping._target_.endswith("Fixed")
    assert compose(["task=fusion", "latent=noise"]).latent._target_.endswith("Noise")
