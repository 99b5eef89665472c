import pytest
import torch

from dip_lab.compose import compose
from dip_lab.instantiate import instantiate
from dip_lab.regularizers.denoisers import NonLocalMeans, Trained
from dip_lab.regularizers.pnp import PlugAndPlay
from tests.regularizers.test_red import observed, random, resumed, run, smooth


def pnp(denoiser=smooth, every=3, mu=0.5):
    term = PlugAndPlay(mu, every, denoiser)
    term.setup(observed(random(100)), seed=0)
    return term


def naive(iterations, every, mu):
    """ADMM in float64, whose denoiser answers one period later."""
    v = given = random(100).double()
    u, values = torch.zeros_like(v), []
    for t in iterations:
        x = random(t).double()
        values.append(float(mu * ((x - v + u) ** 2).mean()))
        if t % every == 0:
            seen = given.clamp(0, 1)
            v = 0.5 * (seen + seen.roll(1, 3))
            u = given - v if t > every else u
            given = x + u
    return values, v, u


@pytest.mark.parametrize("every", [1, 3])
def test_admm(every):
    term = pnp(every=every)
    values, v, u = naive(range(1, 21), every, 0.5)
    assert run(term, range(1, 21)) == pytest.approx(values, rel=1e-4)
    assert torch.allclose(term.v.double(), v, atol=1e-5) and torch.allclose(term.u.double(), u, atol=1e-5)


@pytest.mark.parametrize("at", [1, 3, 5, 6])
def test_resume_bit_for_bit_with_a_denoising_pending(at):
    assert resumed(pnp, at).state_dict().keys() == {"v", "u", "pending"}


def test_what_it_needs_is_one_picture():
    for pixels, message in ((random(1, (2, 3, 10, 12)), "single pictures only"),):
        with pytest.raises(ValueError, match=f"regularizer=pnp works for {message}"):
            PlugAndPlay(0.5, 3, smooth).setup(observed(pixels), seed=0)
    problem = observed(random(1))
    problem.image_shape = (1, 3, 20, 24)
    with pytest.raises(ValueError, match=r"regularizer=pnp: random is observed as \[3, 10, 12\]"):
        PlugAndPlay(0.5, 3, smooth).setup(problem, seed=0)


@pytest.mark.parametrize("key, value", [("mu", 0), ("every", 0)])
def test_wrong_values(key, value):
    with pytest.raises(ValueError, match=rf"regularizer\.pnp\.{key}={value}: "):
        PlugAndPlay(**{"mu": 0.5, "every": 10, "denoiser": smooth, key: value})


@pytest.mark.parametrize("choice, denoiser", [("nlm", NonLocalMeans), ("trained", Trained)])
def test_yaml(choice, denoiser):
    term = instantiate(compose(["regularizer=pnp", f"regularizer/pnp/denoiser={choice}"]).regularizer.pnp)
    assert isinstance(term, PlugAndPlay) and isinstance(term.background.denoiser, denoiser)


def test_a_fit_that_is_drawn_towards_what_is_denoised(fit_tiny):
    plain, drawn = (fit_tiny(*more, "iterations=12", "stopping=fixed") for more in
                    ((), ("regularizer=pnp", "regularizer.pnp.every=4")))
    assert drawn.summary["regularizer"] == "pnp" and not torch.equal(plain.image, drawn.image)
