import numpy as np
import pytest
import torch
from PIL import Image

from dip_lab.data.images import Images
from dip_lab.png import to_uint8
from dip_lab.tasks.colorize import Grey
from dip_lab.tasks.views import View


def test_as_pillow_makes_a_picture_grey(picture):
    x = picture(17, 23).pixels.mul(255).round() / 255
    expected = np.asarray(Image.fromarray(to_uint8(x)).convert("L"), dtype=int)
    assert np.abs(Grey()(x)[0, 0].numpy() * 255 - expected).max() <= 0.51


def test_what_is_shown_is_grey_and_agrees(picture):
    operator, x = Grey(), picture(16, 16).pixels
    shown = View().observed(operator(x), operator)
    assert shown.shape == x.shape and torch.allclose(operator(shown), operator(x), atol=1e-6)
    part, rows, columns = operator.window(slice(3, 9), slice(1, 16))
    assert torch.equal(part(x[..., 3:9, 1:16]), operator(x)[..., rows, columns])


def test_given_pictures(picture):
    operator, colour, grey = Grey(), picture(16, 18), picture(16, 18, 1)
    operator.prepare(grey, seed=0, given=True)
    assert torch.equal(operator.given(grey.pixels), grey.pixels)
    assert torch.equal(operator.given(colour.pixels), operator(colour.pixels))
    with pytest.raises(ValueError, match="task=colorize: name is grey: .* task.given=true to colour a grey one"):
        operator.prepare(Images("name", grey.pixels), seed=0, given=False)


def test_low_precision():
    assert Grey()(torch.rand(1, 3, 8, 8).bfloat16()).dtype == torch.float32 and not Grey().state_dict()
