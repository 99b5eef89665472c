"""A whole step on another device than the CPU, without having one: nothing is left behind, nothing asks the host.

Torch's meta device has shapes but no values. A step on it runs the code that a step on CUDA runs. A dispatch mode looks
at each operator, those of the backward pass too.
"""

import contextlib
import functools
from types import SimpleNamespace

import pytest
import torch
from needs import images_for, needed, options, write_files
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dip_lab.build import build_module, build_problem, load_images
from dip_lab.callbacks.guard import Guard
from dip_lab.callbacks.stopping import Stopping
from dip_lab.compose import compose
from dip_lab.frames import poster
from dip_lab.instantiate import instantiate

GROUPS = ("net", "latent", "task", "optimizer", "regularizer", "average", "stopping")
WAITING = {"aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::nonzero", "aten::masked_select"}
EXCEPTIONS = {
    "optimizer=lbfgs": "torch's own line of L-BFGS compares losses on the host",
    "task=ct": "the meta device has no sparse products: see the test of its matrix",
    "task=custom": "the user's own module",
    "task=deepinv": "the user's own operator, of a package that may be absent",
}
QUICK = {"net=skip", "net=segnet", "latent=aseq", "task=super_resolution", "regularizer=tv", "average=window",
         "stopping=wmv", "optimizer=muon"}  # the others run with the slow tests
TINY = ["logger=none", "device=cpu", "precision=float32", "callbacks.guard.drop_db=inf"]


class Elsewhere(TorchDispatchMode):
    """Fails where an operator takes tensors of two devices, or waits for a value of another device than the CPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        away = any(x.device.type != "cpu" for x in given)
        assert not (away and name in WAITING), f"{name} makes the host wait"
        left = [tuple(x.shape) for x in given if x.device.type == "cpu" and x.ndim > 0]
        assert not (away and left), f"{name}: a tensor {left} is on the CPU"
        target = (kwargs or {}).get("device")
        assert not (away and target and torch.device(target).type == "cpu"), f"{name} copies to the host"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def meta(monkeypatch, one_thread):
    """Makes the meta device look like one that has random numbers and autocast."""
    generator, enabled, autocast = torch.Generator, torch.is_autocast_enabled, torch.autocast
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": SimpleNamespace(manual_seed=lambda seed: None)
                        if torch.device(device).type == "meta" else generator(device))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: kind != "meta" and enabled(kind))
    monkeypatch.setattr(torch, "autocast", lambda kind, *rest, **more: contextlib.nullcontext()
                        if kind == "meta" else autocast(kind, *rest, **more))
    return torch.device("meta")


@functools.cache
def composed(overrides):
    return compose(list(overrides))


def steps_of(overrides, images, device):
    """Two whole steps as Lightning makes them, watched; returns all tensors that they leave."""
    cfg = composed((*TINY, *overrides)).copy()
    if cfg.optimizer.get("fused"):
        cfg.optimizer.fused = False  # torch knows that the meta device has no fused kernel
    problem = build_problem(cfg.task, images or load_images(cfg.data), cfg.seed)
    problem = problem.part()
    stopping = Stopping(instantiate(cfg.stopping), {})
    stopping.hold_out(problem, cfg.seed)
    module = build_module(cfg, problem)
    stopping.setup_rules(problem, cfg.seed, module.generator)
    guard = instantiate(cfg.callbacks.guard)
    assert isinstance(guard, Guard)
    guard.stopping = stopping
    module.to(device)
    optimizer = module.configure_optimizers()
    trainer = SimpleNamespace(optimizers=[optimizer], should_stop=False, loggers=[])
    guard.on_train_start(trainer, module)

    def closure():
        optimizer.zero_grad()
        loss = module.training_step(module.iteration, 0)
        loss.backward()
        return loss

    with Elsewhere():
        for iteration in (1, 2):
            module.on_train_batch_start(iteration, 0)
            module.optimizer_step(0, 0, optimizer, closure)
            for callback in (stopping, guard):
                callback.on_train_batch_end(trainer, module, None, iteration, 0)
        picture = problem.shown(poster(module.output))
    states = [module.state_dict(), optimizer.state_dict(), module.average.state_dict(), stopping.rule.state_dict()]
    return [x for x in tree_leaves([states, module.output, picture]) if isinstance(x, torch.Tensor) and x.ndim > 0]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


CASES = [f"{group}={option}" for group in GROUPS for option in options(group)]


@pytest.mark.parametrize("override", [pytest.param(override, marks=[] if override in QUICK else pytest.mark.slow)
                                      for override in CASES if override not in EXCEPTIONS])
def test_a_step_stays_on_its_device_and_asks_the_host_for_nothing(override, meta, files):
    narrow = [] if override.startswith("net=") else ["net.width=4"]
    overrides = (*narrow, override, *needed([override], files))
    cfg = composed((*TINY, *overrides))
    loads = any(text.startswith("data=") for text in overrides)
    left = steps_of(overrides, None if loads else images_for(cfg, 17, 20), meta)
    assert left and all(x.device == meta for x in left)


def test_the_matrix_of_a_tomography_moves_with_its_problem(one_thread, files):
    cfg = composed((*TINY, "net.width=4", "task=ct"))
    problem = build_problem(cfg.task, images_for(cfg, 17, 20), 0)
    moved = dict(problem.named_buffers())
    parts = [x for x in vars(problem.operator.matrix).values() if isinstance(x, torch.Tensor)]
    assert not parts and sum("matrix" in name for name in moved) >= 2


class Left(torch.nn.Module):
    """Multiplies by a vector that does not move with the module."""

    def __init__(self):
        super().__init__()
        self.factor, self.weight = torch.ones(4), torch.nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.weight * self.factor


class Asks(torch.autograd.Function):
    """Its backward pass reads a value."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float(gradient.sum())


def test_the_watch_sees_what_is_left_behind(meta):
    with pytest.raises(AssertionError, match=r"mul: a tensor \[\(4,\)\] is on the CPU"), Elsewhere():
        Left().to(meta)(torch.ones(4, device=meta))


def test_the_watch_sees_a_question_in_the_backward_pass(meta):
    x = torch.ones(4, device=meta, requires_grad=True)
    with pytest.raises(AssertionError, match="_local_scalar_dense makes the host wait"), Elsewhere():
        Asks.apply(x).sum().backward()
    with pytest.raises(AssertionError, match="copies to the host"), Elsewhere():
        x.detach().cpu()
