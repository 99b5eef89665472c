import pytest
import torch
import torch.nn.functional as F


def enlarged(small, filter, factor):
    """The picture enlarged by torch; nearest by repetition."""
    if filter == "nearest":
        return small.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    size = [factor * side for side in small.shape[-2:]]
    return F.interpolate(small, size=size, mode=filter, align_corners=None if filter == "lanczos" else False,
                         antialias=True)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("filter", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_as_torch_enlarges(filter, factor, channels, face, problem_of, baseline_of):
    problem = problem_of(face(33, 47, channels), "task=super_resolution", f"task.factor={factor}")
    expected = enlarged(problem.observation, filter, factor)[..., :33, :47].clamp(0, 1)
    assert torch.allclose(baseline_of(filter)(problem), expected, atol=1e-5)


def test_bicubic_is_the_problem_s_own_baseline(face, problem_of, baseline_of):
    problem = problem_of(face(), "task=super_resolution", "task.given=true")
    assert problem.image_shape == (1, 3, 132, 188)
    assert torch.allclose(baseline_of("bicubic")(problem), problem.observed(), atol=1e-5)
