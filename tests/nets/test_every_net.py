"""Every YAML of configs/net as shipped, behind its own latent: any size, any colours, both precisions, and it fits."""

import functools
import io
from pathlib import Path

import pytest
import skimage.data
import torch

from dip_lab.build import build_generator, build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images, as_images
from dip_lab.data.sizes import resize_to
from dip_lab.instantiate import instantiate

NETS = sorted(path.stem for path in (Path(__file__).parents[2] / "configs" / "net").glob("*.yaml"))


@functools.cache
def composed(net: str, *overrides: str):
    return compose([f"net={net}", "task.sigma=0", *overrides])


def build(net: str, picture: Images, *overrides: str):
    """(problem, generator, optimiser) of `net=...` on a clean picture."""
    cfg = composed(net, *overrides)
    problem = build_problem(cfg.task, picture, cfg.seed)
    generator = build_generator(cfg, problem)
    return problem, generator, instantiate(cfg.optimizer)(generator.parameters())


def random_picture(height: int, width: int, channels: int) -> Images:
    return Images("random", torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(
    ("size", "channels"),
    [((8, 8), 1), ((33, 47), 4), ((72, 40), 3)],
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_any_size_any_colours_both_precisions(net, size, channels):
    _, generator, _ = build(net, random_picture(*size, channels))
    for precision in ("float32", "bf16"):
        generator.precision = precision
        with torch.no_grad():
            image = generator(1)
        assert image.shape == (1, channels, *size) and image.dtype == torch.float32
        assert image.isfinite().all() and 0 <= image.min() and image.max() <= 1


@pytest.mark.parametrize("net", NETS)
def test_gradients_reach_every_parameter_and_the_state_is_whole(net):
    problem, generator, _ = build(net, random_picture(33, 47, 3), "latent.jitter=0", "precision=float32")
    problem.misfit(generator(1)).backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        # A bias in front of a norm has a gradient of zero.
        assert parameter.ndim == 1 or parameter.grad.abs().max() > 0, name

    saved = io.BytesIO()
    torch.save(generator.state_dict(), saved)
    saved.seek(0)
    _, twin, _ = build(net, random_picture(33, 47, 3), "latent.jitter=0", "precision=float32")
    for parameter in twin.parameters():
        parameter.data.zero_()
    twin.load_state_dict(torch.load(saved, weights_only=True))
    assert torch.equal(twin(None), generator(None))


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
def test_overfits_a_small_picture_beyond_28_db(net):
    picture = resize_to(as_images(skimage.data.astronaut()[:192, 128:320]), 32)
    problem, generator, optimizer = build(net, picture, "latent.jitter=0")
    reached = []
    for iteration in range(1, 1501):
        optimizer.zero_grad()
        loss = problem.misfit(generator(iteration))
        loss.backward()
        optimizer.step()
        if iteration % 25 == 0:
            reached.append(-10 * loss.detach().log10().item())
            if reached[-1] > 28:
                return
    pytest.fail(f"{max(reached):.2f} dB after 1500 iterations")
