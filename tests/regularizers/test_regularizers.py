import pytest
import torch

from dip_lab.regularizers.none import NoRegularizer
from dip_lab.regularizers.tv import TotalVariation


def test_none_adds_nothing():
    misfit = torch.tensor(0.3)
    assert torch.equal(misfit + NoRegularizer()(torch.rand(1, 3, 4, 4)), misfit)


def test_tv_is_the_published_sum():
    image = torch.rand(1, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for channel in image[0].double():
        for y in range(5):
            for x in range(8):
                dx, dy = channel[y, x + 1] - channel[y, x], channel[y + 1, x] - channel[y, x]
                expected += float((dx**2 + dy**2).sqrt())
    tv = TotalVariation(weight=0.25)(image)
    assert tv.shape == () and float(tv) == pytest.approx(0.25 * expected, rel=1e-5)


def test_tv_gradient_is_finite_on_flat_areas():
    image = torch.full((1, 1, 8, 8), 0.5)
    image[..., 4] = 1
    image.requires_grad_()
    TotalVariation(weight=1.0)(image).backward()
    assert image.grad.isfinite().all()
    assert image.grad[..., 3, 4] > 0.5 and image.grad[..., 3, 1] == 0  # lowers the line only


def test_tv_sums_in_float32():
    image = torch.linspace(0, 1, 64).expand(1, 1, 64, 64).bfloat16()
    assert TotalVariation(weight=1.0)(image).dtype == torch.float32


@pytest.mark.parametrize("weight", [-1e-7, float("nan"), True, "abc"])
def test_wrong_weight(weight):
    with pytest.raises(ValueError, match=rf"regularizer\.weight={weight}: give a number at least 0"):
        TotalVariation(weight)
