import pytest
import torch
from PIL import Image

from dip_lab.compose import compose
from dip_lab.images import encode_png
from dip_lab.instantiate import instantiate


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
