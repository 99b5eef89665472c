import pytest
import torch
from shared import DATA, shared

from dip_lab.build import build_generator, build_problem, load_images
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.nets.detail import WIDTHS, detail, width_for

GENERATOR = torch.Generator().manual_seed(0)
NOISE = torch.randn(1, 1, 64, 64, generator=GENERATOR)
RAMP = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)


def test_a_ramp_has_the_variation_of_its_height_in_each_row():
    assert detail(RAMP, None) == pytest.approx(63, rel=0.05)


def test_noise_is_no_detail():
    noisy = RAMP + 0.1 * NOISE
    variation = noisy.diff(dim=-1)[..., :-1, :].hypot(noisy.diff(dim=-2)[..., :-1]).sum()
    assert detail(noisy, None) < 0.4 * variation


def test_holes_are_no_detail():
    known = (torch.rand(1, 1, 64, 64, generator=GENERATOR) < 0.5).float()
    assert detail(RAMP * known, known) < 4 * 63 < detail(RAMP * known, None)


def test_a_flat_picture_has_none():
    assert width_for(torch.full((1, 3, 16, 16), 0.5), None) == 32


def test_more_detail_gets_a_wider_network():
    texture = torch.rand(1, 1, 64, 64, generator=GENERATOR).round().repeat_interleave(5, 2).repeat_interleave(5, 3)
    assert [width_for(texture[..., :side, :side], None) for side in (64, 180, 320)] == [32, 64, 128]
    assert [width for _, width in WIDTHS] == [32, 64, 128]


def test_several_pictures_are_refused():
    with pytest.raises(ValueError, match="net.width=auto: looks at a single picture"):
        width_for(torch.zeros(2, 3, 16, 16), None)


def test_the_network_is_built_with_it():
    cfg = compose(["net.width=auto", "precision=float32"])
    problem = build_problem(cfg.task, Images("flat", torch.full((1, 3, 64, 64), 0.5)), 0)
    assert build_generator(cfg, problem).net.head.in_channels == 32


@shared("denoise9", "Set12")
@pytest.mark.parametrize("name, width", [("denoise9/House", 32), ("Set12/02", 32), ("denoise9/Lena", 64),
                                         ("denoise9/F16", 64), ("denoise9/kodim01", 128)])
def test_the_published_classes(name, width):
    cfg = compose(["data=file", f"data.path={DATA / name}.png", "data.clean=true"])
    problem = build_problem(cfg.task, load_images(cfg.data), 0)
    assert width_for(problem.observed(), problem.operator.known) == width
