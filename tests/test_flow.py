import numpy as np
import pytest
import torch
from scipy import ndimage

from dip_lab.flow import backward_flows, filled, flow, visible, warp


def texture(height=48, width=56, seed=0):
    """A smooth random picture in [0, 1], wider than it is high."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = ndimage.gaussian_filter(noise, 2, mode="wrap")
    return torch.from_numpy((smooth - smooth.min()) / (smooth.max() - smooth.min())).float()[None, None]


def shifted(picture, right, down):
    """The picture as if the camera had moved: what was at p is at p + (right, down)."""
    moved = ndimage.shift(picture[0, 0].double().numpy(), (down, right), order=3, mode="grid-wrap")
    return torch.from_numpy(moved).float()[None, None]


def constant(right, down, height=48, width=56):
    return torch.tensor([right, down]).float().reshape(1, 2, 1, 1).expand(1, 2, height, width)


INSIDE = (..., slice(8, -8), slice(8, -8))


@pytest.mark.parametrize("right, down", [(2, 0), (0, -3), (1.5, 2.5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_translation_is_found(right, down, channels):
    before = texture().expand(1, channels, -1, -1)
    found = flow(before, shifted(before, right, down).expand_as(before))
    assert found.shape == (1, 2, 48, 56) and found.dtype == torch.float32
    assert (found - constant(right, down))[INSIDE].abs().max() < 0.3


def test_a_translation_is_found_under_noise():
    before, after = (x + 25 / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(n))
                     for n, x in enumerate((texture(), shifted(texture(), 2, -1))))
    error = (flow(before, after) - constant(2, -1))[INSIDE].abs()
    assert error.mean() < 0.3


def test_warp_undoes_a_translation():
    before = texture().expand(2, 3, -1, -1)
    after = torch.roll(before, (3, -2), (2, 3))
    back = warp(after, constant(-2, 3).expand(2, -1, -1, -1))
    assert torch.allclose(back[INSIDE], before[INSIDE], atol=1e-5)


def test_warp_is_scipys_bilinear_look_up():
    picture, field = texture(17, 23), 3 * torch.randn(1, 2, 17, 23, generator=torch.Generator().manual_seed(0))
    rows, columns = np.mgrid[:17, :23]
    places = [rows + field[0, 1].numpy(), columns + field[0, 0].numpy()]
    expected = ndimage.map_coordinates(picture[0, 0].numpy(), places, order=1, mode="nearest")
    assert np.allclose(warp(picture, field)[0, 0].numpy(), expected, atol=1e-5)


def test_gradients_reach_the_frame():
    picture = texture(9, 11).requires_grad_()
    warp(picture, constant(0.5, 0, 9, 11)).sum().backward()
    assert picture.grad.sum() == pytest.approx(99, rel=1e-4)


def test_what_leads_back_is_visible_and_what_leaves_is_not():
    there, back = constant(5, 0), constant(-5, 0)
    seen = visible(there, back)
    assert seen.shape == (1, 1, 48, 56) and seen[..., :51].all() and not seen[..., 51:].any()
    assert not visible(there, there).any() and not visible(there, torch.zeros_like(there)).any()
    assert visible(constant(0.5, 0), constant(0, 0))[..., :-1].all()  # within the tolerance of 0.5 px^2


def test_what_a_moving_square_uncovers_is_not_visible():
    ground, square = texture(64, 64), texture(64, 64, seed=1)
    before, now = ground.clone(), ground.clone()
    before[..., 20:44, 16:40], now[..., 20:44, 20:44] = (square[..., :24, :24] * 0.5 + 0.5,) * 2
    back, seen = next(backward_flows(torch.cat((before, now))))
    assert back[0, 0, 28:36, 28:36].mean() == pytest.approx(-4, abs=0.5)
    uncovered, still = seen[..., 24:40, 16:20], seen[..., 50:62, 4:60]
    assert uncovered.mean() < 0.5 < 0.95 < still.mean()


def test_flows_go_from_each_frame_to_the_one_before():
    clip = torch.cat([shifted(texture(), 2 * t, 0) for t in range(3)])
    pairs = list(backward_flows(clip))
    assert len(pairs) == 2
    for back, seen in pairs:
        assert (back - constant(-2, 0))[INSIDE].abs().max() < 0.3 and seen[INSIDE].mean() > 0.95
    assert list(backward_flows(clip[:1])) == []


def test_holes_take_the_nearest_value():
    frame = torch.arange(40.0).reshape(1, 1, 5, 8) / 40
    known = torch.ones(1, 1, 5, 8)
    known[..., 1:3, 2] = 0
    whole = filled(frame * known, known)
    assert torch.equal(whole * known, frame * known)
    assert all(value in (frame[0, 0, 1, 1], frame[0, 0, 1, 3], frame[0, 0, 0, 2]) for value in whole[0, 0, 1:2, 2])
    nothing = torch.zeros(1, 1, 5, 8)
    assert torch.equal(filled(frame, nothing), frame)


def test_the_flow_does_not_follow_the_mask():
    clip = torch.cat([shifted(texture(), 2 * t, 0) for t in range(2)])
    known = torch.ones(2, 1, 48, 56)
    for t in range(2):
        known[t, :, 20:28, 20 + 6 * t:28 + 6 * t] = 0
    (back, _), (misled, _) = next(backward_flows(clip * known, known)), next(backward_flows(clip * known))
    errors = [(x - constant(-2, 0))[INSIDE].abs().mean() for x in (back, misled)]
    assert errors[0] < 0.2 and errors[0] < 0.5 * errors[1]


def test_one_mask_serves_all_frames():
    clip = torch.cat([shifted(texture(), 2 * t, 0) for t in range(3)])
    known = torch.ones(1, 1, 48, 56)
    known[..., 20:26, 20:40] = 0
    pairs = [list(backward_flows(clip * known, mask)) for mask in (known, known.expand(3, 1, -1, -1))]
    for (one, seen), (each, same) in zip(*pairs, strict=True):
        assert torch.equal(one, each) and torch.equal(seen, same)
        assert (one - constant(-2, 0))[INSIDE].abs().mean() < 0.2
