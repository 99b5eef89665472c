import pytest
import torch

from dip_lab.problem import Problem
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.evaluation import FullFrame
from dip_lab.tasks.misfits import MeanSquared
from dip_lab.tasks.views import View
from dip_lab.tasks.weighted import ByBrightness, LumaChroma


def random(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def problem(observation, misfit):
    return Problem(observation, Identity(), misfit, FullFrame(), View(), None, "answer", "name")


def half_noisy(frames=1):
    """Dark on the left, and brighter on the right, where the noise is twice as strong."""
    noise = torch.randn(frames, 3, 48, 96, generator=torch.Generator().manual_seed(1))
    right = (torch.arange(96) >= 48).float()
    return 0.25 + 0.5 * right + 0.02 * (1 + right) * noise


def losses(weighted, observation, frames=slice(0, 1)):
    """What the same error costs on the left and on the right."""
    left, right = observation.clone(), observation.clone()
    left[..., 8:40] += 0.1
    right[..., 56:88] += 0.1
    return float(weighted.misfit(left[frames], frames)), float(weighted.misfit(right[frames], frames))


def test_what_is_noisier_counts_less():
    weighted = problem(half_noisy(), ByBrightness("all"))
    expected = weighted.noise_estimate.expected_square(torch.tensor([0.25, 0.75]).expand(1, 3, 1, 2))
    dark, bright = expected.mean((0, 1, 2))
    left, right = losses(weighted, half_noisy())
    assert left / right == pytest.approx(float(bright / dark), rel=0.05) and left > 1.5 * right
    assert float(weighted.misfit(half_noisy() + 0.1)) == pytest.approx(0.01, rel=1e-4)  # the weights have the mean 1


def test_each_frame_of_a_clip_has_its_own_weights():
    clip = half_noisy(2)
    clip[1] = clip[1].flip(-1)
    weighted = problem(clip, ByBrightness("all"))
    first, second, again = (losses(weighted, clip, slice(t, t + 1)) for t in (0, 1, 0))
    assert first[0] > 1.5 * first[1] and second[1] > 1.5 * second[0] and first == again


def test_a_part_estimates_its_own_noise():
    whole = problem(half_noisy(), ByBrightness("all"))
    part = whole.part(rows=slice(0, 48), columns=slice(48, 96))
    assert part.noise_estimate.std > 1.1 * whole.noise_estimate.std
    assert part.measure._noise == part.noise_estimate != whole.measure._noise == whole.noise_estimate


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match="task/misfit=by_brightness needs a noisy picture"):
        problem(random(0, 1, 3, 12, 12), ByBrightness("all"))


def test_luma_and_chroma():
    p, y = random(0, 1, 3, 16, 16), random(1, 1, 3, 16, 16)
    square = MeanSquared("all")
    assert torch.allclose(LumaChroma("all", 1)(p, y, None), square(p, y, None))
    grey, colour = y + 0.1, y + torch.tensor([0.1, 0, -0.1]).view(3, 1, 1)
    ratio = {c: float(LumaChroma("all", c)(colour, y, None) / LumaChroma("all", c)(grey, y, None)) for c in (1, 0.3)}
    assert ratio[0.3] == pytest.approx(0.3 * ratio[1], rel=1e-4)
    assert torch.allclose(LumaChroma("all", 0.3)(p[:, :1], y[:, :1], None), square(p[:, :1], y[:, :1], None))
    with pytest.raises(ValueError, match="task.misfit.chroma=0"):
        LumaChroma("all", 0)
