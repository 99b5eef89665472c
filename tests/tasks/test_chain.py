"""Operators one after the other."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.instantiate import instantiate
from dip_lab.tasks.chain import Chain, ChainView
from dip_lab.tasks.colorize import Grey
from dip_lab.tasks.custom import Custom
from dip_lab.tasks.deblur import Blur
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.kernels import Lanczos
from dip_lab.tasks.masks import Bernoulli
from dip_lab.tasks.operators import Stack, unit_of, windowed
from dip_lab.tasks.psf import Gaussian
from dip_lab.tasks.super_resolution import Downsample, Enlarged
from dip_lab.tasks.views import Clamped, View

OPTIONS = sorted(p.stem for p in (Path(__file__).parents[2] / "configs/task/operators").glob("*.yaml"))
MAKE = {
    "masking": lambda: Masking(Bernoulli(path=None, polarity="white", missing=0.4, per_channel=False)),
    "downsample": lambda: Downsample(2, Lanczos(border="replicate", lobes=2)),
    "blur": lambda: Blur(Gaussian(size=5, sigma=1.0), "replicate"),
    "grey": Grey,
    "none": Identity,
}
VIEWS = {"masking": View, "downsample": Enlarged, "blur": Clamped, "grey": View, "none": View}
CHAINS = [
    "masking downsample", "downsample masking", "blur downsample", "blur downsample masking", "masking blur none",
    "downsample grey", "masking grey downsample",
]


def chain_of(names: str) -> Chain:
    return Chain({name: MAKE[name]() for name in names.split()})


def view_of(names: str) -> ChainView:
    return ChainView({name: VIEWS[name]() for name in names.split()})


def sample(height=17, width=23, channels=3, frames=1) -> Images:
    generator = torch.Generator().manual_seed(1)
    return Images("sample", torch.rand(frames, channels, height, width, generator=generator))


def problem_of(*overrides: str, picture: Images):
    return build_problem(compose(["task=chain", *overrides]).task, picture, seed=0)


@pytest.mark.parametrize("names", CHAINS)
def test_adjoint(names):
    operator, generator = chain_of(names), torch.Generator().manual_seed(0)
    operator.prepare(sample(), seed=3, given=False)
    x = torch.randn(2, 3, 17, 23, generator=generator, dtype=torch.float64)
    y = operator(x)
    u = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    assert y.dtype == torch.float64 and operator.adjoint(u).shape == x.shape
    assert torch.allclose((y * u).sum(), (x * operator.adjoint(u)).sum(), rtol=1e-9, atol=1e-9)
    assert operator.image_shape(tuple(y.shape[1:])) == (3, 17, 23)
    assert view_of(names).observed(y, operator).shape == x.shape


@pytest.mark.parametrize("names", CHAINS)
def test_it_is_its_operators_in_order(names):
    chain, picture = chain_of(names), sample()
    chain.prepare(picture, seed=3, given=False)
    image = picture.pixels
    for name in names.split():
        alone = MAKE[name]()
        alone.prepare(Images("alone", image), seed=3, given=False)
        image = alone(image)
    assert torch.equal(chain(picture.pixels), image)
    assert (chain.known is None) == (alone.known is None)
    assert chain.known is None or torch.equal(chain.known, alone.known)


def test_a_mask_has_the_size_of_its_place():
    before, after = chain_of("masking downsample"), chain_of("downsample masking")
    for chain in (before, after):
        chain.prepare(sample(), seed=0, given=False)
    assert before.operators["masking"].known.shape == (1, 1, 17, 23) and before.known is None
    assert after.known.shape == (1, 1, 9, 12)


@pytest.mark.parametrize(("names", "shape", "known"), [
    ("downsample masking", (3, 34, 46), (1, 1, 17, 23)),
    ("masking downsample", (3, 34, 46), None),
    ("blur downsample masking", (3, 34, 46), (1, 1, 17, 23)),
    ("masking none", (3, 17, 23), None),
    ("none masking", (3, 17, 23), (1, 1, 17, 23)),
])
def test_a_picture_that_is_degraded_already(names, shape, known):
    chain, picture = chain_of(names), sample()
    chain.prepare(picture, seed=3, given=True)
    y = chain.given(picture.pixels)
    assert y.shape == picture.pixels.shape and chain.image_shape(tuple(y.shape[1:])) == shape
    assert chain(torch.rand(1, *shape)).shape == y.shape
    assert view_of(names).observed(y, chain).shape == (1, *shape)
    assert chain.known is None if known is None else chain.known.shape == known
    if known is not None:
        assert torch.equal(y, picture.pixels * chain.known) and 0 < chain.known.mean() < 1
    if names.startswith("masking"):  # drawn at the size of the image
        assert chain.operators["masking"].known.shape[-2:] == shape[1:]


def test_a_picture_that_the_chain_cannot_have_made_is_refused():
    with pytest.raises(ValueError, match=r"^task.given=true: Chain makes 1 channels of 9 x 8 px, but sample has "
                                         r"3 of 9 x 8: give a picture"):
        problem_of("task/operators=[grey,downsample]", "task.given=true", picture=sample(8, 9))


def test_a_window_is_the_window_of_the_whole():
    chain, picture = chain_of("masking downsample"), sample(32, 40)
    chain.prepare(picture, seed=0, given=False)
    assert unit_of(chain) == 2
    part, rows, columns = chain.window(slice(8, 24), slice(4, 36))
    whole, inside = chain(picture.pixels)[..., rows, columns], part(picture.pixels[..., 8:24, 4:36])
    assert (rows, columns) == (slice(4, 12), slice(2, 18)) and inside.shape == whole.shape
    assert torch.allclose(inside[..., 2:-2, 2:-2], whole[..., 2:-2, 2:-2], atol=1e-6)

    masked = chain_of("downsample masking")
    masked.prepare(picture, seed=0, given=False)
    part, rows, columns = masked.window(slice(8, 24), slice(4, 36))
    assert torch.equal(part.known, masked.known[..., 4:12, 2:18])
    other, _, _ = masked.window(slice(0, 16), slice(0, 32))
    both = Stack([part, other])
    assert torch.equal(both.known, torch.cat((part.known, other.known)))
    assert both.image_shape((3, 8, 16)) == (3, 16, 32)
    two = torch.rand(2, 3, 16, 32)
    expected = torch.cat((part(two[:1]), other(two[1:])))
    assert torch.equal(both(two), expected)
    assert torch.equal(both.of_frames(slice(1, 2))(two[1:]), expected[1:])


def test_a_chain_with_an_operator_of_the_whole_picture_has_no_windows():
    chain = Chain({"none": Identity(), "any": Custom(torch.nn.Identity(), None)})
    chain.prepare(sample(), seed=0, given=False)
    with pytest.raises(ValueError, match="^tile: Custom measures the picture as a whole: leave tile null"):
        windowed(chain, slice(0, 8), slice(0, 8))


def test_the_picture_keeps_its_transparency_where_the_size_stays():
    alpha = torch.ones(1, 1, 16, 16)
    alpha[..., :4] = 0
    picture = Images("sample", torch.rand(1, 3, 16, 16), alpha)
    mask = "task/mask@task.operators.masking.mask=alpha"
    problem = problem_of("task/operators=[blur,masking]", mask, picture=picture)
    assert torch.equal(problem.operator.known, alpha)
    with pytest.raises(ValueError, match="no transparent pixels"):
        problem_of("task/operators=[downsample,masking]", mask, picture=picture)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_makes_a_problem(name):
    problem = problem_of(f"task/operators={name}", picture=sample(20, 24))
    assert list(problem.operator.operators) == [name] and problem.image_shape == (1, 3, 20, 24)
    assert problem.misfit(problem.target) < 1e-10
    assert problem.observed().shape == problem.image_shape


def test_the_order_is_that_of_the_command_line_and_noise_comes_last():
    shapes = {}
    for order in ("masking,downsample", "downsample,masking"):
        problem = problem_of(f"task/operators=[{order}]", "task/noise=gaussian", "task.sigma=10", "task.factor=2",
                             picture=sample(16, 16))
        assert list(problem.operator.operators) == order.split(",")
        clean = problem.operator(problem.target)
        shapes[order] = problem.observation.shape
        noise = problem.observation - clean
        counted = torch.ones_like(noise) if problem.operator.known is None else problem.operator.known.expand_as(noise)
        assert float(noise[counted > 0].std()) == pytest.approx(10 / 255, rel=0.2)
    assert set(shapes.values()) == {(1, 3, 8, 8)}


def test_knobs_reach_their_operators():
    task = compose(["task=chain", "task.factor=8", "task.operators.masking.mask.missing=0.1",
                    "task/kernel@task.operators.downsample.kernel=box"]).task
    chain = instantiate(task.operator)
    assert chain.operators["downsample"].factor == 8 and chain.operators["masking"].mask.missing == 0.1
    assert type(chain.operators["downsample"].kernel).__name__ == "Box"
    assert compose(["task=chain", "task/operators=[blur]"]).task.operators.keys() == {"blur"}


def test_a_chain_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"task/operators=\[\]: list the operators"):
        Chain({})
    OmegaConf.to_container(compose(["task=chain"]).task, resolve=True, throw_on_missing=True)


def test_a_given_problem():
    problem = problem_of("task.given=true", "task/operators=[downsample,masking]", picture=sample(9, 11))
    assert problem.target is None and problem.image_shape == (1, 3, 36, 44)
    assert problem.misfit(torch.rand(problem.image_shape)).isfinite()


def test_a_chain_restores(fit_tiny):
    restoration = fit_tiny("task=chain", "task/operators=[masking,downsample]", "task.factor=2", "iterations=20")
    assert restoration.image.shape == (1, 3, 16, 16) and restoration.summary["status"] == "done"


def test_some_frames_of_a_clip_keep_their_own_holes():
    chain = chain_of("masking downsample")
    picture = sample(16, 16, frames=3)
    chain.prepare(picture, seed=0, given=False)
    draw = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    chain.operators["masking"].known = (draw > 0.5).float()
    part = chain.of_frames(slice(1, 3))
    assert torch.equal(part(picture.pixels[1:3]), chain(picture.pixels)[1:3])
    assert torch.equal(chain.of_frames(slice(2, 3))(picture.pixels[2:3]), part(picture.pixels[1:3])[1:])
