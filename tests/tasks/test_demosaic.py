import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from dip_lab.tasks.demosaic import PATTERNS, Bayer, Demosaicked
from dip_lab.tasks.operators import unit_of


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pixel_has_the_colour_of_its_filter(pattern, picture):
    x = picture(17, 23).pixels
    y = Bayer(pattern)(x)
    assert y.shape == (1, 1, 17, 23)
    for index, letter in enumerate(pattern):
        row, column = divmod(index, 2)
        assert torch.equal(y[0, 0, row::2, column::2], x[0, "RGB".index(letter), row::2, column::2])


@pytest.mark.parametrize("shape", [(1, 3, 17, 23), (2, 3, 16, 9)])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_adjoint(pattern, shape):
    operator, generator = Bayer(pattern), torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    y = operator(x)
    u = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    assert y.dtype == torch.float64 and operator.image_shape(tuple(y.shape[1:])) == shape[1:]
    assert torch.allclose((y * u).sum(), (x * operator.adjoint(u)).sum(), rtol=1e-12)
    assert torch.equal(operator(operator.adjoint(u)), u)


@pytest.mark.parametrize("size", [(16, 16), (17, 23)])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_bilinear_as_scipy_interpolates(pattern, size, picture):
    x = picture(*size).pixels.double()
    operator = Bayer(pattern)
    shown = Demosaicked().observed(operator(x), operator)
    cross, square = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]), np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    measured = operator.adjoint(torch.ones(1, 1, *size)).numpy()[0]
    for channel, kernel in enumerate((square, cross, square)):
        values = convolve(x[0, channel].numpy() * measured[channel], kernel, mode="constant")
        expected = values / convolve(measured[channel], kernel, mode="constant")
        assert np.allclose(shown[0, channel], expected, atol=1e-12)


def test_a_smooth_picture_is_demosaicked_exactly_inside():
    ramp = torch.linspace(0, 1, 20).expand(1, 3, 16, 20) * torch.tensor([0.3, 0.6, 0.9]).reshape(1, 3, 1, 1)
    operator = Bayer("GRBG")
    shown = Demosaicked().observed(operator(ramp), operator)
    assert torch.allclose(shown[..., 1:-1, 1:-1], ramp[..., 1:-1, 1:-1], atol=1e-6)


def test_given_pictures(picture):
    operator, colour, grey = Bayer("RGGB"), picture(16, 18), picture(16, 18, 1)
    operator.prepare(grey, seed=0, given=True)
    assert torch.equal(operator.given(grey.pixels), grey.pixels)
    assert torch.equal(operator.given(colour.pixels), operator(colour.pixels))
    operator.prepare(colour, seed=0, given=False)
    with pytest.raises(ValueError, match="task=demosaic: .* is grey: give a colour picture, or task.given=true"):
        operator.prepare(grey, seed=0, given=False)


def test_windows_keep_the_phase(picture):
    operator, x = Bayer("GBRG"), picture(16, 20).pixels
    assert unit_of(operator) == 2
    part, rows, columns = operator.window(slice(4, 13), slice(2, 20))
    assert torch.equal(part(x[..., 4:13, 2:20]), operator(x)[..., rows, columns])


def test_low_precision_and_other_patterns(picture):
    assert Bayer("RGGB")(picture(16, 16).pixels.bfloat16()).dtype == torch.float32
    assert not Bayer("RGGB").state_dict()
    for pattern in ("RGBG", "rggb", None):
        with pytest.raises(ValueError, match=rf"task\.pattern={pattern}: choose RGGB, BGGR, GRBG or GBRG"):
            Bayer(pattern)
