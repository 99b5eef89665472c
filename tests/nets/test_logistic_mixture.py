"""The mixture of logistics is a distribution over 8-bit levels, exact in the tails, and smooth in the value."""

import math

import numpy as np
import pytest
import torch

from dip_lab.nets.logistic_mixture import bits_per_dim, log_prob
from dip_lab.nets.pixelcnn import PixelCNN
from dip_lab.training.density import Density

LEVELS = torch.arange(256, dtype=torch.float64) / 255


def density(channels: int, **values) -> Density:
    settings = {"width": 9, "layers": 2, "kernel_first": 5, "kernel": 3, "levels": 6} | values
    return Density(PixelCNN(channels, channels, **settings), channels)


@pytest.mark.parametrize("spread", [0.1, 1, 5, 30])
def test_the_probabilities_of_the_levels_sum_to_one(spread):
    parameters = (spread * torch.randn(50, 1, 12, dtype=torch.float64)).expand(50, 256, 12)
    total = log_prob(LEVELS.expand(50, 256), parameters).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(50, dtype=torch.float64), atol=1e-9, rtol=0)
    single = log_prob(LEVELS.float().expand(50, 256), parameters.float()).exp().sum(1)
    torch.testing.assert_close(single, torch.ones(50), atol=1e-3, rtol=0)


def test_the_value_is_that_of_a_plain_evaluation():
    parameters = torch.randn(40, 9)
    levels = torch.cat([torch.tensor([0, 1, 254, 255]), torch.randint(256, (36,))])

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    weights, means, log_scales = np.split(parameters.double().numpy(), 3, 1)
    weights = np.exp(weights) / np.exp(weights).sum(1, keepdims=True)
    at = 2 * levels.double().numpy()[:, None] / 255 - 1
    upper = np.where(at == 1, 1, sigmoid((at + 1 / 255 - means) / np.exp(log_scales)))
    lower = np.where(at == -1, 0, sigmoid((at - 1 / 255 - means) / np.exp(log_scales)))
    expected = np.log((weights * (upper - lower)).sum(1))
    np.testing.assert_allclose(log_prob(levels / 255, parameters).numpy(), expected, atol=1e-4)


def test_far_from_every_logistic_it_is_finite_and_leads_back():
    value = torch.tensor([0.9], requires_grad=True)
    sharp = torch.tensor([[0.0, -1.0, -20.0]])  # black, with the least scale
    nats = log_prob(value, sharp)
    (slope,) = torch.autograd.grad(nats, value)
    assert nats.isfinite() and nats < -1000 and slope < -1000


def test_its_slope_is_that_of_differences():
    parameters = torch.randn(20, 9, dtype=torch.float64)
    values = (torch.rand(20, dtype=torch.float64) * 0.9 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, p: log_prob(x, p), (values, parameters.requires_grad_()))


def test_bits_of_a_uniform_density():
    assert bits_per_dim(torch.full((2, 3), -8 * math.log(2))) == pytest.approx(8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_value_depends_on_itself_and_on_earlier_ones_only(channels):
    model = density(channels).double()
    image = torch.rand(1, channels, 5, 6, dtype=torch.float64) * 0.9 + 0.05
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x), image)[0, :, :, :, 0]
    order = torch.arange(30).view(1, 5, 6) * channels + torch.arange(channels).view(channels, 1, 1)
    flat, order = jacobian.reshape(30 * channels, -1), order.flatten()
    later = order[None, :] > order[:, None]
    assert (flat[later] == 0).all() and (flat.diagonal() != 0).all()
    assert (flat[~later] != 0).float().mean() > 0.5, "it sees hardly any of the earlier ones"


def test_all_values_within_reach_and_no_other():
    model = density(1).double()
    image = torch.rand(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(model(image)[0, 0, 8, 4], image)
    rows, columns = torch.nonzero(slope[0, 0], as_tuple=True)
    assert model.reach == 4 and rows.min() == 8 - model.reach and (columns - 4).abs().max() == model.reach


def test_one_more_black_or_white_pixel_is_a_proper_choice_too():
    """The sum over all levels of one pixel, of the probability of a whole picture, is that of the others."""
    model = density(1).double()
    pictures = (torch.randint(256, (1, 1, 3, 3)) / 255).double().repeat(256, 1, 1, 1)
    pictures[:, 0, 2, 2] = LEVELS
    with torch.no_grad():
        nats = model(pictures)
    before = nats[0].sum() - nats[0, 0, 2, 2]
    torch.testing.assert_close(nats.flatten(1).sum(1).logsumexp(0), before)
