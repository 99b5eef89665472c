
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from scipy.interpolate import griddata
from shared import DATA, shared

from dip_lab.data.images import read_picture
from dip_lab.problem import Problem
from dip_lab.tasks.evaluation import HoleFrame
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.misfits import MeanSquared
from dip_lab.tasks.views import View

# The authors' file and the PSNR of their own Voronoi picture, https://dmitryulyanov.github.io/deep_image_prior
PUBLISHED = {
    "barbara": ("barbara", 24.59), "boat": ("boat", 27.97), "house": ("house", 30.06), "lena": ("Lena512", 31.04),
    "peppers": ("peppers256", 27.72), "cameraman": ("Cameraman256", 24.71), "couple": ("couple", 27.96),
    "fingerprint": ("fingerprint", 25.08), "hill": ("hill", 29.78), "man": ("man", 28.92),
    "montage": ("montage", 24.73),
}

PACKAGES = {"telea": "cv2", "navier_stokes": "cv2", "patchmatch": "patchmatch"}
EXTRAS = {"telea": "opencv", "navier_stokes": "opencv", "patchmatch": "patchmatch"}
FILLING = [pytest.param(name, marks=pytest.mark.skipif(name in PACKAGES and not find_spec(PACKAGES[name]),
                                                       reason=f"needs the package {PACKAGES.get(name)}"))
           for name in ("voronoi", "biharmonic", "cubic", *PACKAGES)]


def masked(observation, known, target=None):
    """The inpainting problem of an observation and the mask of what is known, (1, 1 or C, H, W) bool."""
    operator = Masking(lambda picture, seed: known)
    operator.prepare(None, seed=0, given=False)
    return Problem(observation, operator, MeanSquared("all"), HoleFrame(), View(), target, "dip_inpainted", "sample")


@pytest.mark.parametrize("channels, per_channel", [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("missing", [0.5, 0.95])
def test_voronoi_takes_the_nearest(missing, channels, per_channel, face, problem_of, baseline_of):
    problem = problem_of(face(17, 26, channels), "task=inpaint", f"task.mask.missing={missing}",
                         f"task.mask.per_channel={str(per_channel).lower()}")
    image = baseline_of("voronoi")(problem)[0]
    rows, columns = torch.meshgrid(torch.arange(17), torch.arange(26), indexing="ij")
    knowns = (problem.operator.known > 0).expand(1, channels, 17, 26)[0]
    for plane, filled, known in zip(problem.target[0], image, knowns, strict=True):
        for row, column in zip(rows.flatten().tolist(), columns.flatten().tolist(), strict=True):
            squares = (rows - row).square() + (columns - column).square()
            nearest = known & (squares == squares[known].min())
            assert filled[row, column] in plane[nearest]


@pytest.mark.parametrize("per_channel", ["true", "false"])
@pytest.mark.parametrize("missing", [0.5, 0.9])
@pytest.mark.parametrize("name", FILLING)
def test_what_is_known_stays(name, missing, per_channel, face, problem_of, baseline_of):
    problem = problem_of(face(), "task=inpaint", f"task.mask.missing={missing}", f"task.mask.per_channel={per_channel}")
    image = baseline_of(name)(problem)
    known = problem.operator.known.expand_as(image) > 0
    assert torch.equal(image[known], problem.target[known])


@pytest.mark.parametrize("name", FILLING)
def test_a_frame_without_a_hole_stays(name, baseline_of):
    frames, known = torch.rand(2, 3, 16, 16), torch.ones(2, 1, 16, 16, dtype=torch.bool)
    known[1, ..., 5:9] = False
    assert torch.equal(baseline_of(name)(masked(frames * known, known).part(slice(0, 1))), frames[:1])


def test_biharmonic_continues_a_ramp(baseline_of):
    """A plane has no bi-Laplacian: a wide hole in it is filled exactly."""
    plane = torch.linspace(0.1, 0.5, 48)[:, None] + torch.linspace(0, 0.4, 40)
    target = torch.stack([plane, plane.flip(0), 0.7 * plane])[None]
    known = torch.ones(1, 1, 48, 40, dtype=torch.bool)
    known[..., 12:36, 10:30] = False
    image = baseline_of("biharmonic")(masked(target * known, known))
    assert torch.allclose(image, target, atol=1e-5)


@pytest.mark.parametrize("name", FILLING)
def test_a_channel_of_which_nothing_is_known(name, baseline_of):
    known = torch.ones(1, 3, 16, 16, dtype=torch.bool)
    known[:, 1] = False
    with pytest.raises(ValueError, match=f"^baseline={name}: nothing is known of one channel"):
        baseline_of(name)(masked(torch.rand(1, 3, 16, 16) * known, known))


@pytest.mark.parametrize("name", FILLING)
def test_polarity_a_hole_gets_the_colour_around_it(name, baseline_of):
    """Were known and hole exchanged, the hole would keep its black and the rest would change."""
    target, known = torch.full((1, 3, 21, 30), 0.6), torch.ones(1, 1, 21, 30, dtype=torch.bool)
    known[..., 0:4, 0:5] = known[..., 12:17, 11:19] = False  # one at the corner
    image = baseline_of(name)(masked(target * known, known, target))
    assert torch.allclose(image, target, atol=4 / 255)  # Telea's rounding errors add up


@pytest.mark.parametrize("name", FILLING)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("height, width", [(16, 16), (17, 33), (9, 40)])
def test_sizes_and_values_that_8_bits_cannot_hold(name, channels, height, width, baseline_of):
    generator = torch.Generator().manual_seed(channels)
    target = torch.rand(1, channels, height, width, generator=generator)  # no multiples of 1 / 255
    known = torch.rand(1, 1, height, width, generator=generator) > 0.3
    image = baseline_of(name)(masked(target * known, known, target))
    assert image.shape == target.shape
    assert torch.equal(image[known.expand_as(image)], target[known.expand_as(image)])
    assert not torch.equal(image, target * known)


@pytest.mark.parametrize("name", FILLING)
def test_holes_of_one_channel_are_filled_from_that_channel(name, baseline_of):
    target, known = torch.empty(1, 3, 16, 16), torch.ones(1, 3, 16, 16, dtype=torch.bool)
    target[:, 0], target[:, 1], target[:, 2] = 0.2, 0.4, 0.8
    known[:, 1, 5:9, 5:9] = False
    image = baseline_of(name)(masked(target * known, known, target))
    assert torch.allclose(image, target, atol=4 / 255)  # Telea's rounding errors add up


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_not_installed(name, baseline_of, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(ValueError, match=rf"^baseline={name} needs \w+: pip install 'dip-lab\[{EXTRAS[name]}\]'$"):
        baseline_of(name)(masked(torch.rand(1, 3, 16, 16), (torch.eye(16) > 0)[None, None]))


def test_patchmatch_depends_on_its_seed_alone(face, problem_of, baseline_of):
    pytest.importorskip("patchmatch")
    problem = problem_of(face(48, 48), "task=inpaint", "task/mask=box")
    first, again, other = (baseline_of("patchmatch", f"seed={seed}")(problem) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(other, baseline_of("patchmatch", "baseline.seed=1")(problem))


def test_patchmatch_copies_a_texture(baseline_of):
    """Stripes go on through a hole, which no mean of what is around it can do."""
    pytest.importorskip("patchmatch")
    target = ((torch.arange(48) // 4) % 2).float().expand(1, 3, 48, 48).contiguous()
    known = torch.ones(1, 1, 48, 48, dtype=torch.bool)
    known[..., 18:30, 18:30] = False
    problem = masked(target * known, known, target)
    psnr = problem.scores(baseline_of("patchmatch")(problem))["psnr_hole"]
    assert psnr > problem.scores(baseline_of("biharmonic")(problem))["psnr_hole"] + 6


def test_patchmatch_without_its_library(baseline_of, monkeypatch):
    package = pytest.importorskip("patchmatch")
    monkeypatch.setattr(package, "patchmatch_available", False)
    with pytest.raises(ValueError, match="^baseline=patchmatch: PyPatchMatch was installed without its library"):
        baseline_of("patchmatch")(masked(torch.rand(1, 3, 16, 16), (torch.eye(16) > 0)[None, None]))


def test_cubic_is_that_of_scipy(face, problem_of, baseline_of):
    problem = problem_of(face(), "task=inpaint")
    image = baseline_of("cubic")(problem)[0]
    known = problem.operator.known[0, 0] > 0
    points, holes = known.nonzero().numpy(), (~known).nonzero().numpy()
    for filled, plane in zip(image, problem.target[0], strict=True):
        expected = griddata(points, plane[known].numpy(), holes, "cubic")
        inside = ~np.isnan(expected)
        assert inside.mean() > 0.9
        assert np.allclose(filled[~known].numpy()[inside], expected[inside].clip(0, 1), atol=1e-4)


@pytest.mark.parametrize("row, column", [(slice(0, 3), slice(0, 1)), (slice(4, 5), slice(None))])
def test_cubic_needs_a_triangle(row, column, baseline_of):
    known = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    known[..., row, column] = True
    with pytest.raises(ValueError, match="^baseline=cubic: the known pixels span no triangle: try baseline=voronoi$"):
        baseline_of("cubic")(masked(torch.rand(1, 3, 16, 16) * known, known))


@shared("inpaint11", "paper/inpaint50")
def test_voronoi_is_the_published_figure(baseline_of):
    """Section 4.3 of Deep Image Prior, on the authors' masked pictures: what is not black is known."""
    voronoi, psnrs = baseline_of("voronoi"), []
    for name, (author, published) in PUBLISHED.items():
        target = read_picture(DATA / "inpaint11" / f"{name}.png").pixels
        observation = read_picture(DATA / "paper" / "inpaint50" / f"{author}_masked.png").pixels
        if name == "peppers":  # its first row and column are black and so seem unknown, but are black in all results
            target, observation = target[..., 1:, 1:], observation[..., 1:, 1:]
        problem = masked(observation, observation > 0, target)
        psnrs.append(problem.scores(voronoi(problem))["psnr"])
        assert psnrs[-1] == pytest.approx(published, abs=0.15), name
    assert sum(psnrs) / 11 == pytest.approx(27.50, abs=0.05)
