import pytest
import torch

from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.masks import Bernoulli
from dip_lab.tasks.misfits import MaskedMeanSquared, MeanSquared


@pytest.fixture(params=[False, True])
def masking(request, picture):
    operator = Masking(Bernoulli(path=None, polarity="white", missing=0.8, per_channel=request.param))
    operator.prepare(picture(16, 20), 0)
    return operator


def test_mean_squared():
    a, b = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    assert torch.allclose(MeanSquared()(a, b, Identity()), torch.nn.functional.mse_loss(a, b))


def test_masked_mean_squared_is_published(masking):
    image, observation = torch.rand(1, 3, 16, 20), torch.rand(1, 3, 16, 20)
    known = masking.known.expand_as(image)
    everything = MaskedMeanSquared("all")(masking(image), observation, masking)
    assert torch.allclose(everything, torch.nn.functional.mse_loss(image * known, observation * known))
    only = MaskedMeanSquared("known")(masking(image), observation, masking)
    assert torch.allclose(only, (image - observation)[known > 0].square().mean())
    assert torch.allclose(everything, only * known.mean())


def test_holes_do_not_count(masking):
    image, observation = torch.rand(1, 3, 16, 20, requires_grad=True), torch.rand(1, 3, 16, 20)
    for over in ("all", "known"):
        misfit = MaskedMeanSquared(over)
        first = misfit(masking(image), observation, masking)
        second = misfit(masking(image), observation + 5 * masking.hole, masking)
        assert torch.equal(first, second)
        (gradient,) = torch.autograd.grad(first, image)
        assert not (gradient * masking.hole).any()


def test_misfits_are_float32_scalars(masking):
    half = torch.rand(1, 3, 16, 20).bfloat16()
    observation = torch.rand(1, 3, 16, 20)
    for misfit in (MeanSquared(), MaskedMeanSquared("all"), MaskedMeanSquared("known")):
        value = misfit(half, observation, masking)
        assert value.dtype == torch.float32 and value.shape == ()


def test_other_values_are_refused():
    with pytest.raises(ValueError, match=r"task\.misfit\.over=holes: choose all or known"):
        MaskedMeanSquared("holes")
