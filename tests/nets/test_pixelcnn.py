"""The PixelCNN sees exactly what comes before each value, and is a density that sums to one."""

import itertools
import math

import pytest
import torch

from dip_lab.nets.pixelcnn import Gated, PixelCNN, divided, expected


def build(in_channels, out_channels, width=8, layers=2, kernel_first=3, kernel=3, levels=4) -> PixelCNN:
    return PixelCNN(in_channels, out_channels, width, layers, kernel_first, kernel, levels).double()


def seen(in_channels, out_channels, height, width, reach) -> torch.Tensor:
    """Which input (C, H, W) each output (C, H, W) may see, by the definition: all earlier ones within its reach."""
    allowed = torch.zeros(out_channels, height, width, in_channels, height, width, dtype=torch.bool)
    for c, i, j, k, y, x in itertools.product(*map(range, allowed.shape)):
        near = i - y <= reach and abs(j - x) <= reach
        lower_channel = k * out_channels // in_channels < c
        allowed[c, i, j, k, y, x] = near and (y < i or (y == i and (x < j or (x == j and lower_channel))))
    return allowed


@pytest.mark.parametrize(
    "in_channels, out_channels, values, reach",
    [
        (3, 3, {"layers": 1}, 2),
        (3, 3, {"layers": 1, "kernel_first": 7}, 4),
        (3, 3, {"layers": 2, "kernel_first": 5, "kernel": 5}, 6),
        (1, 1, {"layers": 3}, 4),
        (8, 3, {"layers": 2}, 3),
        (2, 3, {"layers": 1}, 2),
    ],
)
def test_sees_every_earlier_value_in_reach_and_no_other(in_channels, out_channels, values, reach):
    net = build(in_channels, out_channels, width=31, **values)  # not a multiple of the channels
    z = torch.randn(1, in_channels, 5, 6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(net, z)[0, :, :, :, 0]
    allowed = seen(in_channels, out_channels, 5, 6, reach)
    assert torch.equal(jacobian != 0, allowed)
    assert allowed[0, 3, 1, 0, 2, 3], "up and to the right, where a single stack of masked kernels is blind"


@pytest.mark.parametrize("width", [1, 2, 4, 5])
def test_a_width_below_or_beside_the_channels_leaks_nothing(width):
    z = torch.randn(1, 3, 3, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(build(3, 3, width=width), z)[0, :, :, :, 0]
    assert (jacobian[~seen(3, 3, 3, 4, 3)] == 0).all()


@pytest.mark.parametrize("channels, height, width, levels", [(1, 1, 2, 3), (3, 1, 1, 3), (1, 2, 2, 3), (2, 2, 1, 3)])
def test_the_probabilities_of_all_pictures_sum_to_one(channels, height, width, levels):
    net = build(channels, channels, levels=levels)
    with torch.no_grad():  # far from the uniform density, which would sum to one whatever is seen
        for p in net.parameters():
            p.mul_(4)
    values = channels * height * width
    pictures = torch.tensor(list(itertools.product(range(levels), repeat=values)), dtype=torch.float64)
    log_p = net.log_prob((pictures / (levels - 1)).view(-1, channels, height, width))
    assert log_p.shape == (levels**values,) and log_p.std() > 0.5
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_log_prob_is_the_sum_over_values_of_the_log_softmax():
    net = build(2, 2, levels=5)
    image = torch.rand(3, 2, 4, 3, dtype=torch.float64)
    chosen = (image * 4).round()
    logits = [x.tolist() for x in net.logits(chosen / 4)]
    sums = []
    for n in range(3):
        total = 0.0
        for c, i, j in itertools.product(range(2), range(4), range(3)):
            scores = logits[c][n][i][j]
            total += scores[int(chosen[n, c, i, j])] - math.log(sum(map(math.exp, scores)))
        sums.append(total)
    assert net.log_prob(image).tolist() == pytest.approx(sums, abs=1e-9)
    assert torch.equal(net.log_prob(chosen / 4), net.log_prob(image)), "rounded to the levels before it is seen"


def test_forward_is_the_expected_level():
    net = build(4, 3, levels=3)
    z = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    levels = torch.tensor([0, 0.5, 1], dtype=torch.float64)
    for channel, logits in enumerate(net.logits(z)):
        p = logits.exp() / logits.exp().sum(-1, keepdim=True)
        torch.testing.assert_close(net(z)[:, channel], (p * levels).sum(-1))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 5), (1, 5, 1), (3, 2, 3)])
def test_any_size_and_layout_under_autocast(size, layout):
    n, height, width = size
    net = PixelCNN(3, 3, 8, 2, 7, 3, 256).to(memory_format=layout)
    z = torch.rand(n, 3, height, width).to(memory_format=layout)
    exact, log_p = net(z), net.log_prob(z)
    with torch.autocast("cpu", torch.bfloat16):
        out, near = net(z), net.log_prob(z)
    assert out.shape == (n, 3, height, width) and near.shape == (n,)
    assert out.dtype == near.dtype == torch.float32
    torch.testing.assert_close(out, exact, atol=0.01, rtol=0)
    torch.testing.assert_close(near, log_p, atol=0, rtol=0.01)


def test_every_parameter_learns():
    net = PixelCNN(3, 3, 8, 2, 7, 3, 256)
    for output in (net, net.log_prob):
        net.zero_grad()
        output(torch.rand(1, 3, 9, 9)).square().sum().backward()
        assert all(p.grad.abs().max() > 0 for p in net.parameters())


def test_a_rounded_softmax_stays_in_range():
    logits = torch.full((2000, 256), -1000.0)
    logits[:, -32:] = torch.randn(2000, 32)
    logits[:, -1] = torch.linspace(5, 37, 2000)  # a few of these sum to more than 1
    assert 0.9 < expected(logits).min() and expected(logits).max() <= 1


@pytest.mark.parametrize("first", [True, False])
def test_a_residual_in_every_layer_but_the_first(first):
    order = divided(4, 1)
    layer = Gated(order, order, 3, first)
    for p in layer.mix.parameters():
        torch.nn.init.zeros_(p)
    left = torch.randn(1, 4, 3, 3)
    assert torch.equal(layer(left, left)[1], torch.zeros_like(left) if first else left)


@pytest.mark.parametrize(
    "in_channels, out_channels, image, words",
    [
        (8, 3, torch.zeros(1, 8, 2, 2), ["in_channels=8", "out_channels=3"]),
        (3, 3, torch.zeros(1, 1, 2, 2), ["the image has 1 channels", "in_channels=3"]),
        (1, 1, torch.full((1, 1, 2, 2), 255.0), ["255", "[0, 1]"]),
        (1, 1, torch.full((1, 1, 2, 2), torch.nan), ["nan", "[0, 1]"]),
    ],
)
def test_log_prob_refuses_other_images_in_one_line(in_channels, out_channels, image, words):
    with pytest.raises(ValueError) as error:
        build(in_channels, out_channels).log_prob(image.double())
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "key, value",
    [
        ("width", 0),
        ("width", "wide"),
        ("layers", 0),
        ("layers", 1.5),
        ("kernel_first", 6),
        ("kernel_first", 1),
        ("kernel", 4),
        ("kernel", 1),
        ("levels", 1),
        ("levels", None),
    ],
)
def test_wrong_values_are_refused_in_one_line(key, value):
    with pytest.raises(ValueError) as error:
        build(3, 3, **{key: value})
    assert str(error.value).startswith(f"net.{key}={value}: ") and "\n" not in str(error.value)
