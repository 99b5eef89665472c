"""CvT: its attention against one written out, its bounded keys, sizes, and refusals."""

import pytest
import torch

from dip_lab.nets.cvt import Attention, CvT
from dip_lab.nets.transformer import ENLARGEMENTS

VALUES = {
    "channels": [4, 8, 8],
    "depths": [1, 0, 2],
    "heads": [1, 2, 4],
    "mlp_ratio": 2,
    "kv_side": 4,
    "upsample": "bilinear",
}


def build(**values) -> CvT:
    return CvT(2, 3, **(VALUES | values))


@pytest.mark.parametrize("upsample", ENLARGEMENTS)
@pytest.mark.parametrize("size", [(8, 8), (8, 20), (36, 12)])
def test_any_multiple_of_stride_from_min_size_on(upsample, size):
    net = build(upsample=upsample)
    assert (net.stride, net.min_size) == (4, 8)
    out = net(torch.rand(2, 2, *size))
    assert out.shape == (2, 3, *size) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1
    (out - 0.5).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_a_single_scale():
    net = build(channels=[4], depths=[1], heads=[2])
    assert (net.stride, net.min_size) == (1, 2)
    assert net(torch.rand(1, 2, 2, 5)).shape == (1, 3, 2, 5)


def test_attention_with_all_keys_equals_the_formula():
    attention, x = Attention(6, 2, kv_side=5), torch.randn(2, 6, 4, 5)
    q, k, v = (project(x) for project in (attention.query, attention.key, attention.value))
    heads = []
    for part in (slice(0, 3), slice(3, 6)):
        scores = torch.einsum("ncij,nckl->nijkl", q[:, part], k[:, part]) / 3**0.5
        weights = scores.exp() / scores.exp().sum((3, 4), keepdim=True)
        heads.append(torch.einsum("nijkl,nckl->ncij", weights, v[:, part]))
    torch.testing.assert_close(attention(x), attention.mix(torch.cat(heads, 1)))


def test_keys_are_averages_and_bounded_in_number():
    attention = Attention(4, 1, kv_side=4)
    seen = []
    attention.key.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape[2:])))
    for size in [(3, 4), (5, 4), (9, 64), (65, 33)]:
        assert attention(torch.randn(1, 4, *size)).shape == (1, 4, *size)
    assert seen == [(3, 4), (3, 4), (3, 4), (4, 4)]

    x = torch.randn(1, 4, 6, 3)
    torch.testing.assert_close(attention.reduced(x), x.unflatten(2, (3, 2)).mean(3))
    assert torch.equal(attention.reduced(x[:, :, :4]), x[:, :, :4])
    last = attention.reduced(torch.ones(1, 4, 5, 5))  # its last row and column average less, not zeros
    torch.testing.assert_close(last, torch.ones(1, 4, 3, 3))


def test_every_pixel_sees_every_other():
    net = build(depths=[0, 0, 1], kv_side=2).eval()  # in training the batch-norms alone would do that
    z = torch.rand(1, 2, 64, 64).requires_grad_()
    near = torch.autograd.grad(net(z)[0, :, 0, 0].sum(), z)[0]
    assert near[0, :, -1, -1].abs().sum() > 0
    blind = build(depths=0).eval()
    near = torch.autograd.grad(blind(z)[0, :, 0, 0].sum(), z)[0]
    assert near[0, :, -1, -1].abs().sum() == 0


@pytest.mark.parametrize(
    "values, words",
    [
        ({"channels": 8}, ["net.channels=8", "list"]),
        ({"channels": [4, 8, 0]}, ["net.channels=0"]),
        ({"depths": [1, 1]}, ["net.depths=[1, 1]", "3 scales"]),
        ({"depths": -1}, ["net.depths=-1"]),
        ({"heads": [1, 2, 3]}, ["net.heads=[1, 2, 3]", "net.channels=[4, 8, 8]"]),
        ({"heads": 0}, ["net.heads=0"]),
        ({"mlp_ratio": 0.5}, ["net.mlp_ratio=0.5", "whole number"]),
        ({"kv_side": 1}, ["net.kv_side=1", "at least 2"]),
        ({"upsample": "deconv"}, ["net.upsample=deconv", "bilinear, nearest or pixelshuffle"]),
    ],
)
def test_wrong_values_are_refused_in_one_line(values, words):
    with pytest.raises(ValueError) as error:
        build(**values)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
