from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from dip_lab.compose import compose
from dip_lab.instantiate import instantiate
from dip_lab.regularizers.flow import Flow
from dip_lab.regularizers.temporal import Temporal


def moving(frames, step=2, side=40):
    """A smooth texture that moves `step` px to the right from frame to frame."""
    noise = np.random.default_rng(0).normal(size=(side, side + 8))
    smooth = ndimage.gaussian_filter(noise, 2, mode="wrap")
    texture = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.stack([torch.from_numpy(np.roll(texture, step * t, 1)).float()[None] for t in range(frames)])


def problem_of(clip, known=None):
    return SimpleNamespace(observation=clip, image_shape=tuple(clip.shape), observed=lambda: clip,
                           operator=SimpleNamespace(known=known))


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_temporal_is_the_mean_change():
    clip = random(4, 3, 5, 7)
    temporal = Temporal(0.25)
    temporal.setup(problem_of(clip), 0)
    expected = np.abs(np.diff(clip.double().numpy(), axis=0)).mean()
    assert float(temporal(clip)) == pytest.approx(0.25 * expected, rel=1e-5)
    assert temporal(clip).shape == () and temporal(clip.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("kind", [Temporal, Flow])
def test_one_frame_of_a_clip_costs_nothing(kind):
    clip, term = moving(3, side=16), kind(1.0)
    term.setup(problem_of(clip), 0)
    assert float(term(clip[1:2].requires_grad_(), slice(1, 2))) == 0


@pytest.mark.parametrize("kind, name", [(Temporal, "temporal"), (Flow, "flow")])
def test_a_picture_is_refused(kind, name):
    with pytest.raises(ValueError, match=f"regularizer={name}: .* data=video .* video=shared") as bad:
        kind(1.0).setup(problem_of(random(1, 3, 16, 16)), 0)
    assert "\n" not in str(bad.value)


def test_along_the_flow_what_moves_costs_little_and_flicker_as_much_as_it_is():
    clip = moving(4)
    flow, temporal = Flow(0.5), Temporal(0.5)
    flow.setup(problem_of(clip), 0)
    temporal.setup(problem_of(clip), 0)
    assert float(flow(clip)) < 0.15 * float(temporal(clip))
    flicker = torch.tensor([0.0, 0.2, 0.0, 0.2]).reshape(4, 1, 1, 1)
    assert float(flow(0.1 * clip + flicker)) == pytest.approx(0.5 * 0.2, rel=0.05)


def test_the_flows_are_those_of_the_batch():
    clip = torch.cat((moving(2), moving(3, step=-3)))  # 2 px to the right, a cut, twice 3 px to the left
    flow = Flow(1.0)
    flow.setup(problem_of(clip), 0)
    assert flow.flows.shape == (4, 2, 40, 48) and flow.seen.shape == (4, 1, 40, 48)
    assert flow.flows[0, 0].median() == pytest.approx(-2, abs=0.3)
    assert flow.flows[3, 0].median() == pytest.approx(3, abs=0.3)
    right = float(flow(clip[2:5], slice(2, 5)))
    assert right < 0.1 * float(flow(clip[2:5], slice(0, 3)))
    assert float(flow(clip[3:], slice(3, None))) == pytest.approx(right, rel=0.3)


def test_what_is_hidden_does_not_count():
    clip = moving(2, step=0)
    flow = Flow(1.0)
    flow.setup(problem_of(clip), 0)
    assert flow.seen.all()
    flow.seen[..., 10:20] = False
    changed = clip.clone()
    changed[1, ..., 10:20] += 0.5
    assert float(flow(changed)) == pytest.approx(float(flow(clip)), abs=1e-6)
    flow.seen[:] = False
    assert float(flow(changed)) == 0


def test_both_frames_of_a_pair_are_pulled():
    clip = moving(3)
    flow = Flow(1.0)
    flow.setup(problem_of(clip), 0)
    image = random(3, 1, 40, 48).requires_grad_()
    flow(image).backward()
    assert all(image.grad[t].abs().sum() > 0 for t in range(3))


def test_holes_are_filled_before_the_flow_is_estimated():
    clip = moving(2)
    known = torch.ones(2, 1, 40, 48)
    known[0, :, 15:23, 15:23], known[1, :, 15:23, 23:31] = 0, 0
    errors = []
    for mask in (known, None, torch.ones(1, 1, 7, 9)):  # the last is none of the image's pixels
        flow = Flow(1.0)
        flow.setup(problem_of(clip * known, mask), 0)
        errors.append(float((flow.flows[0, 0] + 2).abs()[8:-8, 8:-8].mean()))
    assert errors[0] < 0.7 * errors[1] and errors[1] == errors[2]


def test_the_flows_of_a_long_clip_stay_in_a_file(monkeypatch):
    clip = moving(3)
    flow = Flow(1.0)
    flow.setup(problem_of(clip), 0)
    expected = float(flow(clip))
    for module in ("dip_lab.frames", "dip_lab.regularizers.flow"):
        monkeypatch.setattr(f"{module}.IN_MEMORY", 100)
    flow.setup(problem_of(clip), 0)
    assert float(flow(clip)) == expected


@pytest.mark.parametrize("weight", [-0.1, float("nan"), True, "abc"])
@pytest.mark.parametrize("kind, name", [(Temporal, "temporal"), (Flow, "flow")])
def test_wrong_weight(kind, name, weight):
    with pytest.raises(ValueError, match=rf"regularizer\.{name}\.weight={weight}: give a number at least 0"):
        kind(weight)


def test_yaml():
    regularizer = compose(["regularizer=[temporal,flow]"]).regularizer
    assert isinstance(instantiate(regularizer.temporal), Temporal) and isinstance(instantiate(regularizer.flow), Flow)
