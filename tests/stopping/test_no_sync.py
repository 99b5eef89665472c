"""What runs at each iteration never waits for the device, and allocates no image."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dip_lab.averages.ema import EMA
from dip_lab.averages.none import NoAverage
from dip_lab.averages.posterior import Posterior
from dip_lab.averages.window import Window
from dip_lab.latents.meshgrid import Meshgrid
from dip_lab.latents.noise import Noise
from dip_lab.stopping.emv import EMV
from dip_lab.stopping.fixed import Fixed
from dip_lab.stopping.oracle import Oracle
from dip_lab.stopping.wmv import WMV

SHAPE = (1, 3, 32, 32)
SYNCHRONISING = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "_to_copy", "masked_select"}
ALLOCATING = {"empty", "empty_like", "zeros_like", "clone", "_to_copy", "cat", "stack"}


class Watch(TorchDispatchMode):
    """Fails on every operator that would make the host wait for a GPU or that makes a new image."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        if name in SYNCHRONISING | ALLOCATING:
            raise AssertionError(f"{name} at each iteration")
        result = func(*args, **(kwargs or {}))
        given = {x.data_ptr() for x in (*args, *(kwargs or {}).values()) if isinstance(x, torch.Tensor)}
        if isinstance(result, torch.Tensor) and result.numel() > 1 and result.data_ptr() not in given:
            assert func.is_view, f"{name} makes a tensor {tuple(result.shape)} at each iteration"
        return result


def test_the_watch_sees_a_synchronisation_and_an_allocation():
    with pytest.raises(AssertionError, match="_local_scalar_dense"), Watch():
        torch.ones(1).item()
    image = torch.ones(4)
    with pytest.raises(AssertionError, match="add makes a tensor"), Watch():
        image.add(1)


RULES = {
    "emv": lambda: EMV(forget=0.1, patience=5, min_start=6),
    "fixed": Fixed,
    "wmv": lambda: WMV(window=4, patience=5, min_start=6, pixels=100),
    "wmv-all": lambda: WMV(window=4, patience=5, min_start=0, pixels=None),
    "oracle": lambda: Oracle(every=2),
}


AVERAGES = {"ema": lambda: EMA(0.9), "none": NoAverage, "posterior": lambda: Posterior(3, 2),
            "window": lambda: Window(4)}


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("rule", RULES)
def test_observe(rule, average):
    rule, average = RULES[rule](), AVERAGES[average]()
    rule.setup(SimpleNamespace(target=torch.rand(SHAPE), image_shape=SHAPE), seed=0)
    outputs = [torch.rand(SHAPE) for _ in range(20)]
    average.update(outputs[0], 0)
    rule.observe(0, outputs[0], average.image)
    with Watch():
        for iteration, output in enumerate(outputs[1:], 1):
            average.update(output, iteration)
            rule.observe(iteration, output, average.image)
    assert rule.observations == 20


@pytest.mark.parametrize("latent", [Noise("uniform", 0.1, 4, 0.1), Meshgrid(0.1)], ids=["noise", "meshgrid"])
def test_latent(latent):
    latent.prepare(16, 24, seed=0)
    latent.to(memory_format=torch.channels_last)  # as the generator has it
    first = latent(1).data_ptr()
    with Watch():
        results = [latent(iteration) for iteration in range(2, 5)]
    assert all(z.data_ptr() == first for z in results)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rule", RULES)
def test_cuda_reports_no_synchronisation(rule):
    rule, average, latent = RULES[rule](), EMA(0.9), Noise("uniform", 0.1, 4, 0.1)
    rule.setup(SimpleNamespace(target=torch.rand(SHAPE), image_shape=SHAPE), seed=0)
    latent.prepare(16, 24, seed=0)
    latent.to("cuda", memory_format=torch.channels_last)
    outputs = [torch.rand(SHAPE, device="cuda") for _ in range(20)]
    mode = torch.cuda.get_sync_debug_mode()
    try:
        for iteration, output in enumerate(outputs):
            latent(iteration)
            average.update(output, iteration)
            rule.observe(iteration, output, average.image)
            torch.cuda.set_sync_debug_mode("error")
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    assert rule.observations == 20
