
import pytest
import torch
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
@pytest.mark.parametrize("name", ["voronoi", "biharmonic"])
def test_what_is_known_stays(name, missing, per_channel, face, problem_of, baseline_of):
    problem = problem_of(face(), "task=inpaint", f"task.mask.missing={missing}", f"task.mask.per_channel={per_channel}")
    image = baseline_of(name)(problem)
    known = problem.operator.known.expand_as(image) > 0
    assert torch.equal(image[known], problem.target[known])


@pytest.mark.parametrize("name", ["voronoi", "biharmonic"])
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


@pytest.mark.parametrize("name", ["voronoi", "biharmonic"])
def test_a_channel_of_which_nothing_is_known(name, baseline_of):
    known = torch.ones(1, 3, 16, 16, dtype=torch.bool)
    known[:, 1] = False
    with pytest.raises(ValueError, match=f"^baseline={name}: nothing is known of one channel"):
        baseline_of(name)(masked(torch.rand(1, 3, 16, 16) * known, known))


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
