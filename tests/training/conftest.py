import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """A folder of four small pictures in colour where the command is given."""
    (tmp_path / "photos").mkdir()
    for number in range(4):
        picture = Image.radial_gradient("L").resize((40 + number, 36))
        Image.merge("RGB", [picture, picture.rotate(90), picture]).save(tmp_path / "photos" / f"{number}.png")
