import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torch.utils._python_dispatch import TorchDispatchMode

from dip_lab.baselines.trained import Learned
from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.instantiate import instantiate
from dip_lab.regularizers.denoisers import BM3D, Deepinv, NonLocalMeans, Trained, TVChambolle
from dip_lab.regularizers.red import RED
from tests.checkpoints import checkpoint

SHAPE = (1, 3, 10, 12)
NLM = {"sigma": 25, "h": 0.6, "patch_size": 5, "patch_distance": 6, "fast": True}


class Blur(torch.nn.Module):
    """As a denoiser of deepinv: it takes (x, sigma)."""

    def forward(self, x, sigma):
        assert x.dtype == torch.float32 and sigma == pytest.approx(25 / 255)
        return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)


def random(seed, shape=SHAPE):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def smooth(array):
    """A denoiser: each pixel half way to its right neighbour."""
    assert array.dtype == np.float32 and array.shape == (10, 12, 3) and array.flags.c_contiguous
    return 0.5 * (array + np.roll(array, 1, axis=1))


def observed(pixels):
    """A problem of which a regulariser sees only this."""
    return SimpleNamespace(guide=lambda: pixels, image_shape=tuple(pixels.shape), name="random")


def red(denoiser=smooth, every=3, mu=0.5, beta=0.3, **options):
    term = RED(mu, beta, every, denoiser, **options)
    term.setup(observed(random(100)), seed=0)
    return term


def run(term, iterations):
    """The terms of a fit whose outputs are random."""
    values = []
    for t in iterations:
        values.append(float(term(random(t))))
        term.after_step(random(t), t)
    return values


def resumed(make, at):
    """A term that went on from another's state after iteration `at`, bit for bit like one that was not interrupted."""
    through, first, second = make(), make(), make()
    values = run(through, range(1, 13))
    run(first, range(1, at + 1))
    second.load_state_dict(first.state_dict())
    run(first, range(at + 1, at + 5))  # goes on: the second must not notice
    assert run(second, range(at + 1, 13)) == values[at:]
    assert torch.equal(second.v, through.v) and torch.equal(second.u, through.u)
    return second


def naive(iterations, every, mu, beta, step="fixed_point", rate=1.0):
    """DeepRED with its delays in float64: at a multiple of `every` it gets what was given at the last one."""
    v = random(100).double()
    u, denoised, given, values = torch.zeros_like(v), v, v, []
    for t in iterations:
        x = random(t).double()
        values.append(float(mu * ((x - (v - u)) ** 2).mean()))
        if t % every == 0:
            denoised = 0.5 * (given + given.roll(1, 3))
            given = v
        if step == "fixed_point" or (step == "mixed" and t % every == 0):
            v = ((beta * denoised + mu * (x + u)) / (beta + mu)).clamp(0, 1)
        else:
            v = (v - rate * (beta * (v - denoised) + mu * (v - x - u))).clamp(0, 1)
        u = u + x - v
    return values, v, u


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("beta", [0, 0.3, 2])
def test_admm(every, beta):
    term = red(every=every, beta=beta)
    values, v, u = naive(range(1, 21), every, 0.5, beta)
    assert run(term, range(1, 21)) == pytest.approx(values, rel=1e-4)
    assert torch.allclose(term.v.double(), v, atol=1e-5) and torch.allclose(term.u.double(), u, atol=1e-5)


@pytest.mark.parametrize("step", ["gradient", "mixed"])
def test_other_steps(step):
    term = red(step=step, rate=0.4)
    values, v, u = naive(range(1, 21), 3, 0.5, 0.3, step, 0.4)
    assert run(term, range(1, 21)) == pytest.approx(values, rel=1e-4)
    assert torch.allclose(term.v.double(), v, atol=1e-5) and torch.allclose(term.u.double(), u, atol=1e-5)


def test_gradient():
    term, image = red(), random(1).requires_grad_()
    term.after_step(random(2), 1)
    (gradient,) = torch.autograd.grad(term(image), image)
    assert torch.allclose(gradient, 2 * 0.5 * (image - (term.v - term.u)).detach() / image.numel())
    assert term(image).dtype == torch.float32 and term(image.bfloat16()).dtype == torch.float32


def test_the_pace_of_the_denoiser_changes_nothing():
    rng = np.random.default_rng(0)

    def slow(array):
        time.sleep(rng.uniform(0, 0.02))
        return smooth(array)

    assert run(red(slow), range(1, 21)) == run(red(), range(1, 21))


def test_one_denoising_at_a_time_in_a_thread_of_its_own():
    running, threads = [0], set()

    def denoiser(array):
        running[0] += 1
        assert running[0] == 1
        threads.add(threading.current_thread())
        time.sleep(0.005)
        running[0] -= 1
        return smooth(array)

    term = red(denoiser)
    for t in range(1, 13):
        term(random(t))
        term.after_step(random(t), t)
        term.load_state_dict(term.state_dict())  # abandons the one at work
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("at", [1, 3, 5, 6])
def test_resume_bit_for_bit_with_a_denoising_pending(at):
    assert resumed(red, at).state_dict().keys() == {"v", "u", "denoised", "pending"}


def test_roll_back():
    term = red()
    run(term, range(1, 5))
    snapshot = {name: tensor.clone() for name, tensor in term.state_dict().items()}
    values = run(term, range(5, 12))
    run(term, range(12, 14))
    term.load_state_dict(snapshot)
    assert run(term, range(5, 12)) == values
    term.load_state_dict(snapshot)  # once more, without the state having been written into
    assert run(term, range(5, 12)) == values


def test_the_state_is_the_fits_own():
    term, baseline = RED(0.5, 0.5, 2, smooth), random(100)
    term.setup(observed(baseline), seed=0)
    run(term, range(1, 8))
    assert torch.equal(baseline, random(100))


def test_a_denoiser_may_write_into_its_input():
    def inplace(array):
        array[:] = smooth(array)
        return array

    assert run(red(inplace), range(1, 10)) == run(red(), range(1, 10))


def test_errors_of_the_denoiser_reach_the_fit():
    def broken(array):
        raise RuntimeError("no licence")

    with pytest.raises(RuntimeError, match="no licence"):
        run(red(broken), range(1, 5))
    with pytest.raises(ValueError, match=r"regularizer\.red\.denoiser gave an array \(10, 12\), not \(10, 12, 3\)"):
        run(red(lambda array: array[..., 0]), range(1, 5))


def test_a_denoiser_at_work_does_not_hold_up_the_end_of_the_program():
    end = threading.Event()
    term = red(lambda array: end.wait(60))
    term(random(1))
    threads = [thread for thread in threading.enumerate() if thread.name == "denoiser"]
    end.set()
    assert threads and all(thread.daemon for thread in threads)


class NoSync(TorchDispatchMode):
    """Fails on operators that make the host wait for a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        assert name not in ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "_to_copy", "clone"), name
        return func(*args, **(kwargs or {}))


def test_no_synchronisation_between_multiples_of_every():
    term, image = red(every=4), random(1)
    for t in range(1, 13):
        with NoSync() if t % 4 else torch.no_grad():
            term(image)
            term.after_step(image, t)
    with pytest.raises(AssertionError, match="_to_copy|clone"), NoSync():
        term.after_step(image, 16)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_waits_at_multiples_of_every_only():
    term, image = red(every=4), random(1).cuda()
    mode = torch.cuda.get_sync_debug_mode()
    term(image)
    try:
        for t in range(1, 13):
            torch.cuda.set_sync_debug_mode("error" if t % 4 else mode)
            term(image)
            term.after_step(image, t)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    assert term.v.is_cuda and not term.pending.is_cuda


BOTH = {"grey": "dip_lab/weights/denoiser_grey.pt", "colour": "dip_lab/weights/denoiser_colour.pt"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("denoiser", [
    NonLocalMeans(**NLM), TVChambolle(0.15), Trained(BOTH, 25), Trained(BOTH["grey"], 25), Deepinv(Blur(), 25),
    "bm3d",
], ids=["nlm", "tv", "trained", "trained_grey", "deepinv", "bm3d"])
def test_denoisers_lower_the_error(denoiser, channels):
    clean = (data.astronaut()[50:114, 200:264, :channels] / 255).astype(np.float32)  # the face
    if denoiser == "bm3d":
        pytest.importorskip("bm3d")
        denoiser = BM3D(25)
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape), 0, 1).astype(np.float32)
    denoised = denoiser(noisy)
    assert denoised.shape == clean.shape and denoised.dtype == np.float32
    assert np.square(denoised - clean).mean() < 0.6 * np.square(noisy - clean).mean()
    assert np.array_equal(denoised, denoiser(noisy))


@pytest.mark.parametrize("key, value", [("mu", 0), ("mu", "abc"), ("beta", -1), ("every", 0), ("every", 1.5),
                                        ("rate", 0), ("step", "newton")])
def test_wrong_values(key, value):
    with pytest.raises(ValueError, match=rf"regularizer\.red\.{key}={value}: "):
        RED(**{"mu": 0.5, "beta": 0.5, "every": 10, "denoiser": smooth, key: value})


@pytest.mark.parametrize("key, value", [("sigma", 0), ("h", -1), ("patch_size", 0), ("patch_distance", 1.5),
                                        ("fast", "no")])
def test_wrong_values_of_nlm(key, value):
    with pytest.raises(ValueError, match=rf"regularizer\.red\.denoiser\.{key}={value}: "):
        NonLocalMeans(**{**NLM, key: value})


def test_wrong_weight_of_tv():
    with pytest.raises(ValueError, match=r"regularizer\.red\.denoiser\.weight=0: give a number above 0"):
        TVChambolle(0)


def test_a_trained_denoiser_is_that_of_the_baseline():
    picture = random(3, (1, 3, 40, 44))
    problem = build_problem(compose(["task.sigma=25"]).task, Images("random", picture, clean=True), 0)
    alone = Learned(BOTH, sigma=25)(problem)
    array = Trained(BOTH, 25)(problem.observation[0].permute(1, 2, 0).numpy())
    assert np.allclose(alone[0].permute(1, 2, 0).numpy(), array, atol=1e-6)


def test_what_no_trained_denoiser_can_do_is_refused(tmp_path):
    narrow = checkpoint(tmp_path / "narrow.pt")  # for sigma 25
    for file, sigma, message in ((narrow, 15, "was trained for sigma 25: give another sigma"),
                                 (BOTH["grey"], 70, "was trained for sigma 0 to 55"),
                                 (checkpoint(tmp_path / "task.pt", task="inpaint"), 25, "trained for task=inpaint"),
                                 (tmp_path / "none.pt", 25, "there is no such file"),
                                 (None, 25, "checkpoint=null: give")):
        with pytest.raises(ValueError, match=message):
            Trained(file and str(file), sigma)
    with pytest.raises(ValueError, match="give one file, or one as grey and one as colour"):
        Trained({"grey": BOTH["grey"]}, 25)


def test_a_deepinv_denoiser_by_its_import_path(monkeypatch):
    monkeypatch.setenv("DIP_LAB_TARGETS", "tests.regularizers")
    model = "regularizer.red.denoiser.model={_target_:tests.regularizers.test_red.Blur}"
    term = instantiate(compose(["regularizer=red", "regularizer/red/denoiser=deepinv", model]).regularizer.red)
    assert isinstance(term.background.denoiser, Deepinv) and isinstance(term.background.denoiser.model, Blur)


@pytest.mark.parametrize("choice, denoiser", [("nlm", NonLocalMeans), ("tv", TVChambolle), ("trained", Trained)])
@pytest.mark.parametrize("group", ["red", "[tv,red]"])
def test_yaml(group, choice, denoiser):
    term = instantiate(compose([f"regularizer={group}", f"regularizer/red/denoiser={choice}"]).regularizer.red)
    assert isinstance(term, RED) and isinstance(term.background.denoiser, denoiser)
