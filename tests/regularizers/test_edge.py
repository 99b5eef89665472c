import numpy as np
import pytest
import torch
from scipy import ndimage

from dip_lab.compose import compose
from dip_lab.instantiate import instantiate
from dip_lab.regularizers.edge import Edge
from dip_lab.regularizers.tv import TotalVariation


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_edge_is_the_sum_of_scipys_gradients(channels, memory_format):
    image = torch.rand(1, channels, 7, 11, generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for channel in image[0].double().numpy():
        gx, gy = (ndimage.sobel(channel, axis)[1:-1, 1:-1] / 8 for axis in (1, 0))
        expected += np.hypot(gx, gy).sum()
    term = Edge(0.25)(image.contiguous(memory_format=memory_format))
    assert term.shape == () and float(term) == pytest.approx(0.25 * expected, rel=1e-5)


def test_gradient_is_that_of_finite_differences():
    image = torch.rand(1, 2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    image = image.float().requires_grad_()
    edge = Edge(1.0)
    edge(image).backward()
    step = torch.zeros_like(image)
    step[0, 1, 2, 3] = 1e-2
    with torch.no_grad():
        slope = (edge(image + step) - edge(image - step)) / 2e-2
    assert float(slope) == pytest.approx(float(image.grad[0, 1, 2, 3]), abs=2e-3)


def test_gradient_is_finite_on_flat_areas():
    image = torch.full((1, 1, 8, 10), 0.5)
    image[..., 5] = 1
    image.requires_grad_()
    Edge(1.0)(image).backward()
    assert image.grad.isfinite().all()
    assert not image.grad[..., :3].any() and image.grad.any()


def test_a_ramp_costs_as_much_as_its_total_variation_and_noise_less():
    ramp = torch.linspace(0, 1, 16).expand(1, 1, 16, 16)
    assert float(Edge(1.0)(ramp)) == pytest.approx(14 * 14 / 15, rel=1e-4)
    noise = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert Edge(1.0)(noise) < 0.5 * TotalVariation(1.0, True)(noise)


def test_sums_in_float32():
    assert Edge(1.0)(torch.rand(1, 1, 16, 16).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("weight", [-1e-7, float("nan"), True, "abc"])
def test_wrong_weight(weight):
    with pytest.raises(ValueError, match=rf"regularizer\.edge\.weight={weight}: give a number at least 0"):
        Edge(weight)


def test_yaml():
    assert isinstance(instantiate(compose(["regularizer=[tv,edge]"]).regularizer.edge), Edge)
