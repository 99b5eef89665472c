"""Swin: which tokens see each other through its windows, its relative bias, sizes, and refusals."""

import pytest
import torch

from dip_lab.nets.swin import Swin, WindowAttention
from dip_lab.nets.transformer import ENLARGEMENTS, Block

VALUES = {
    "width": 8,
    "depths": [2, 1],
    "heads": 2,
    "window": 4,
    "patch": 2,
    "mlp_ratio": 2,
    "upsample": "bilinear",
}


def build(**values) -> Swin:
    return Swin(2, 3, **(VALUES | values))


def seen_by(layer, size: tuple[int, int], row: int, column: int) -> torch.Tensor:
    """The tokens of a map that reach the token at (row, column), as a map of true and false."""
    x = torch.randn(1, 8, *size).requires_grad_()
    weight = torch.randn(8)  # the plain sum of a channel norm would have no gradient
    gradient = torch.autograd.grad((layer(x)[0, :, row, column] * weight).sum(), x)[0]
    return gradient[0].abs().sum(0) > 0


def rectangle(size: tuple[int, int], rows: slice, columns: slice) -> torch.Tensor:
    inside = torch.zeros(size, dtype=torch.bool)
    inside[rows, columns] = True
    return inside


@pytest.mark.parametrize("upsample", ENLARGEMENTS)
@pytest.mark.parametrize("patch, window, size", [(2, 4, (8, 8)), (2, 4, (16, 24)), (1, 3, (3, 9)), (4, 2, (16, 8))])
def test_any_multiple_of_stride_from_min_size_on(upsample, patch, window, size):
    net = build(upsample=upsample, patch=patch, window=window)
    assert net.stride == net.min_size == patch * window
    out = net(torch.rand(2, 2, *size))
    assert out.shape == (2, 3, *size) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1
    (out - 0.5).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert all(p.grad.abs().max() > 0 for p in net.parameters() if p.ndim > 1)


@pytest.mark.parametrize("row, column", [(0, 0), (5, 6), (7, 11)])
def test_a_block_sees_exactly_its_window(row, column):
    size, (top, left) = (8, 12), (row // 4 * 4, column // 4 * 4)
    block = Block(WindowAttention(8, 2, 4, shifted=False), 8, 2)
    window = rectangle(size, slice(top, top + 4), slice(left, left + 4))
    assert torch.equal(seen_by(block, size, row, column), window)


@pytest.mark.parametrize(
    "row, column, rows, columns",
    [
        (3, 4, slice(2, 6), slice(2, 6)),  # across the borders of the unshifted windows
        (0, 4, slice(0, 2), slice(2, 6)),  # half a window at the picture's side, nothing of the opposite one
        (7, 11, slice(6, 8), slice(10, 12)),
        (0, 0, slice(0, 2), slice(0, 2)),
        (7, 0, slice(6, 8), slice(0, 2)),
    ],
)
def test_a_shifted_block_sees_across_borders_and_not_around_the_picture(row, column, rows, columns):
    size = (8, 12)
    block = Block(WindowAttention(8, 2, 4, shifted=True), 8, 2)
    assert torch.equal(seen_by(block, size, row, column), rectangle(size, rows, columns))


def test_a_side_of_one_window_is_not_shifted():
    attention = WindowAttention(8, 2, 4, shifted=True)
    assert torch.equal(seen_by(attention, (4, 8), 0, 3), rectangle((4, 8), slice(0, 4), slice(2, 6)))
    plain = WindowAttention(8, 2, 4, shifted=False)
    plain.load_state_dict(attention.state_dict())
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(attention(x), plain(x))


def test_attention_equals_the_formula_window_by_window():
    attention, x = WindowAttention(6, 2, 2, shifted=False), torch.randn(3, 6, 4, 6)
    out = attention(x)
    for n, top, left in [(0, 0, 0), (1, 2, 4), (2, 0, 2)]:
        square = x[n, :, top : top + 2, left : left + 2].flatten(1)  # (6, 4)
        q, k, v = (attention.qkv.weight.flatten(1) @ square).view(3, 2, 3, 4)
        weights = (q.mT @ k / 3**0.5 + attention.relative()).softmax(-1)
        mixed = attention.mix.weight.flatten(1) @ (v @ weights.mT).flatten(0, 1) + attention.mix.bias[:, None]
        torch.testing.assert_close(out[n, :, top : top + 2, left : left + 2].flatten(1), mixed)


@pytest.mark.parametrize("shifted", [False, True])
def test_pictures_of_a_batch_do_not_mix(shifted):
    attention, x = WindowAttention(8, 2, 2, shifted), torch.randn(3, 8, 6, 4)
    torch.testing.assert_close(attention(x), torch.cat([attention(one[None]) for one in x]))


def test_relative_bias_depends_on_the_offset_alone():
    attention = WindowAttention(8, 2, 3, shifted=False)
    bias = attention.relative().view(2, 3, 3, 3, 3)
    for i, j, k, m in torch.cartesian_prod(*[torch.arange(3)] * 4).tolist():
        assert torch.equal(bias[:, i, j, k, m], attention.table[:, k - i + 2, m - j + 2])
    assert torch.equal(bias[:, :2, :2, :2, :2], bias[:, 1:, 1:, 1:, 1:])  # so: the same from one token on


def test_state_dict_knows_no_size():
    net, twin = build(), build()
    net(torch.rand(1, 2, 8, 24))
    twin.load_state_dict(net.state_dict())
    z = torch.rand(1, 2, 24, 16)
    assert torch.equal(net(z), twin(z))
    assert {key.rpartition(".")[2] for key in net.state_dict()} == {
        "weight", "bias", "table", "running_mean", "running_var", "num_batches_tracked"
    }  # fmt: skip


@pytest.mark.parametrize(
    "values, words",
    [
        ({"width": 0}, ["net.width=0"]),
        ({"depths": 4}, ["net.depths=4", "list"]),
        ({"depths": [2, 0]}, ["net.depths=0", "at least 1"]),
        ({"heads": 3}, ["net.heads=3", "net.width=8"]),
        ({"window": 1}, ["net.window=1", "at least 2"]),
        ({"patch": 1.5}, ["net.patch=1.5", "whole number"]),
        ({"mlp_ratio": True}, ["net.mlp_ratio=True"]),
        ({"upsample": "deconv"}, ["net.upsample=deconv", "bilinear, nearest or pixelshuffle"]),
    ],
)
def test_wrong_values_are_refused_in_one_line(values, words):
    with pytest.raises(ValueError) as error:
        build(**values)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
