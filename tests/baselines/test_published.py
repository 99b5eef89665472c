
import pytest
import torch
from PIL import Image
from shared import DATA, shared

from dip_lab.build import build_problem, load_images
from dip_lab.compose import cells_of, compose
from dip_lab.instantiate import instantiate
from dip_lab.png import encode_png


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The function for a file of the folder where the command is typed."""
    monkeypatch.chdir(tmp_path)
    return lambda path: instantiate(compose(["baseline=published", f"baseline.path={path}"]).baseline)


def test_the_picture_of_the_file(published, face, problem_of, tmp_path):
    problem = problem_of(face(), "task=denoise")
    (tmp_path / "result.png").write_bytes(encode_png(problem.target))
    image = published("result.png")(problem)
    assert image.shape == problem.image_shape and image.dtype == torch.float32
    assert torch.allclose(image, problem.target, atol=1e-6)


def test_the_path_comes_from_the_experiment(published, face, problem_of):
    assert compose(["baseline=published", "+table.published=paper/a.png"]).baseline.path == "paper/a.png"
    baseline = instantiate(compose(["baseline=published"]).baseline)
    with pytest.raises(ValueError, match=r"^baseline=published needs an experiment of paper/ that names the authors' "):
        baseline(problem_of(face(), "task=denoise"))


def test_files_that_are_refused(published, face, problem_of, tmp_path):
    problem = problem_of(face(), "task=denoise")
    Image.new("RGB", (47, 32)).save(tmp_path / "lower.png")
    Image.new("L", (47, 33)).save(tmp_path / "grey.png")
    for name, found in (("lower", "47 x 32 px with 3 channels"), ("grey", "47 x 33 px with 1 channels")):
        with pytest.raises(ValueError, match=rf"^baseline\.path={name}\.png is {found}, but face is restored as "
                                             "47 x 33 px with 3: give its own picture$"):
            published(f"{name}.png")(problem)
    with pytest.raises(ValueError, match="no such file"):
        published("absent.png")(problem)


@pytest.mark.slow
@shared("paper")
@pytest.mark.parametrize("experiment, mean", [("denoise25", 31.29), ("inpaint50", 33.44)])
def test_the_authors_own_pictures_have_their_published_figures(experiment, mean, monkeypatch):
    monkeypatch.setenv("DIP_LAB_DATA", str(DATA))
    cells = cells_of([f"experiment=paper/{experiment}", "baseline=published"])
    published = next(line.published for line in cells[0].table.rows if line.name == "DIP, authors' PNG")
    figures = []
    for cfg in cells:
        problem = build_problem(cfg.task, load_images(cfg.data), cfg.seed)
        figures.append(problem.scores(instantiate(cfg.baseline)(problem))["psnr_8bit"])
    by_picture = dict(zip([cfg.data.name for cfg in cells], figures, strict=True))
    assert by_picture == pytest.approx(dict(zip(cells[0].table.pictures, published, strict=True)), abs=0.01)
    assert sum(figures) / len(figures) == pytest.approx(mean, abs=0.01)
