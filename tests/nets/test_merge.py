"""The exact rewrite of the skip network's costliest part against its plain steps."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dip_lab.nets import merge as module
from dip_lab.nets.merge import Merge


def both_ways(merge, deep, skip, monkeypatch):
    """(result, gradients of the inputs, gradients of the weights, buffers): plain, then rewritten."""
    monkeypatch.setattr(module, "LARGE", 0)
    ways = []
    for rewrite in (False, True):
        net = copy.deepcopy(merge)
        net.can_rewrite &= rewrite
        inputs = [x.detach().requires_grad_() for x in (deep, skip) if x is not None]
        assert net.rewritten(deep) == rewrite
        result = net(inputs[0], inputs[1] if skip is not None else None)
        torch.manual_seed(1)
        (result * torch.randn_like(result)).sum().backward()
        gradients = [x.grad for x in (*inputs, *net.parameters())]
        ways.append([result.detach(), *gradients, *net.buffers()])
    return ways


@pytest.mark.parametrize("batch, skip, deep, size", [(1, 4, 8, (32, 20)), (2, 0, 5, (33, 6)), (1, 8, 8, (2, 2)),
                                                     (1, 3, 4, (70, 8))])  # one band, a band more, the least, three
def test_in_float64_it_is_exact(batch, skip, deep, size, monkeypatch):
    torch.manual_seed(0)
    merge = Merge(skip, deep, 6, 3, "bilinear", "reflection").double().to(memory_format=torch.channels_last)
    torch.nn.init.uniform_(merge.norm.weight, 0.3, 2)
    torch.nn.init.normal_(merge.norm.bias)
    x = 3 * torch.randn(batch, deep, *size, dtype=torch.float64) + 1
    beside = torch.randn(batch, skip, 2 * size[0], 2 * size[1], dtype=torch.float64) if skip else None
    for plain, rewritten in zip(*both_ways(merge, x, beside, monkeypatch), strict=True):
        # The bias before a norm has a gradient, the skip net's next layer has not been applied here.
        torch.testing.assert_close(rewritten, plain, rtol=0, atol=1e-12 * max(1.0, plain.abs().max().item()))


def test_in_bfloat16_it_errs_no_more_than_the_plain_steps(monkeypatch):
    torch.manual_seed(0)
    merge = Merge(4, 32, 32, 3, "bilinear", "reflection").to(memory_format=torch.channels_last)
    x, beside = torch.randn(1, 32, 16, 16).relu(), torch.randn(1, 4, 32, 32)
    exact = both_ways(copy.deepcopy(merge).double(), x.double(), beside.double(), monkeypatch)[0]
    with torch.autocast("cpu", torch.bfloat16):
        plain, rewritten = both_ways(merge, x.bfloat16(), beside.bfloat16(), monkeypatch)
    for truth, a, b in zip(exact[:3], plain[:3], rewritten[:3], strict=True):
        errors = [(way.double() - truth).square().mean().sqrt() for way in (a, b)]
        assert errors[1] < 1.25 * errors[0]


@pytest.mark.parametrize("upsample, padding, kernel", [("nearest", "reflection", 3), ("bilinear", "zero", 3),
                                                       ("bilinear", "reflection", 5)])
def test_what_it_does_not_cover_takes_the_plain_steps(upsample, padding, kernel):
    merge = Merge(1, 2, 2, kernel, upsample, padding)
    assert not merge.rewritten(torch.empty(1, 2, 2**10, 2**10))


def test_only_large_maps_of_a_batch_take_it():
    merge = Merge(0, 32, 32, 3, "bilinear", "reflection")
    assert merge.rewritten(torch.empty(1, 32, 64, 64)) and not merge.rewritten(torch.empty(1, 32, 32, 32))
    assert not merge.eval().rewritten(torch.empty(1, 32, 128, 128))


def test_merge_is_concatenate_skip_first_then_norm_then_convolve():
    merge = Merge(2, 3, 4, 3, "nearest", "reflection")
    deep, skip = torch.randn(1, 3, 4, 5), torch.randn(1, 2, 8, 10)
    both = torch.cat((skip, deep.repeat_interleave(2, 2).repeat_interleave(2, 3)), 1)
    both = (both - both.mean((2, 3), keepdim=True)) / (both.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    expected = F.conv2d(F.pad(both, (1, 1, 1, 1), mode="reflect"), merge.conv.weight, merge.conv.bias)
    torch.testing.assert_close(merge(deep, skip), expected, atol=1e-5, rtol=1e-5)


def test_a_whole_fit_in_float64_is_the_same(monkeypatch):
    from dip_lab.build import build_net
    from dip_lab.compose import compose

    cfg = compose(["net=skip", "net.width=6", "net.depth=2", "net.skip_channels=2"])
    z, target = torch.rand(1, 4, 16, 20, dtype=torch.float64), torch.rand(1, 3, 16, 20, dtype=torch.float64)
    fits = []
    for least in (0, 2**40):
        monkeypatch.setattr(module, "LARGE", least)
        net = build_net(cfg, 4, 3).double().to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        for _ in range(20):
            optimizer.zero_grad()
            (net(z) - target).square().mean().backward()
            optimizer.step()
        fits.append(net(z).detach())
    torch.testing.assert_close(*fits, rtol=0, atol=1e-9)
