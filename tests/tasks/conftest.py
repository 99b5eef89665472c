import pytest
import torch

from dip_lab.data.images import Images


@pytest.fixture
def picture():
    """Builds a random RGB picture; `picture(height, width, channels)`."""

    def make(height=24, width=31, channels=3, alpha=None):
        pixels = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(5))
        return Images("sample", pixels, alpha)

    return make
