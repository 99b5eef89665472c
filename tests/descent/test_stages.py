"""The latent alone first, then the layers from shallow to deep: nothing else moves, and a resumed fit is the same."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from dip_lab.build import build_module, build_problem, load_images
from dip_lab.compose import compose
from dip_lab.descent.stages import All, LatentFirst
from tests.test_resume import KillAt, Killed

SEARCH = ["task=inpaint", "net=skip", "latent=learned", "descent/stages=latent_first"]


class Watch(pl.Callback):
    """What moved at each iteration, and whether frozen weights had a gradient."""

    def __init__(self):
        self.moved, self.free, self.state = [], [], None

    def parameters(self, module):
        named = [(f"net.{name}", weight) for name, weight in module.generator.net.named_parameters()]
        return [*named, *(("z", weight) for weight in module.generator.latent.parameters())]

    def on_train_batch_start(self, trainer, module, iteration, batch_idx):
        self.before = [weight.detach().clone() for _, weight in self.parameters(module)]

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
        after = self.parameters(module)
        self.moved.append({name for (name, weight), old in zip(after, self.before, strict=True)
                           if not torch.equal(weight, old)})
        self.free.append({name for name, weight in after if weight.requires_grad})
        for name, weight in after:
            assert weight.requires_grad or weight.grad is None, name
        self.state = {name: weight.detach().clone() for name, weight in after}


def fitted(fit_tiny, *overrides, **more):
    watch = Watch()
    fit_tiny(*SEARCH, "log_every=1", *overrides, callbacks=[watch], **more)
    return watch


def test_the_latent_moves_alone_and_then_the_layers_from_the_latent_on(fit_tiny):
    watch = fitted(fit_tiny, "iterations=9", "descent.stages.latent_alone=3", "descent.stages.parts=3",
                   "descent.stages.every=2")
    assert watch.moved[:3] == [{"z"}] * 3
    first, second, third = watch.free[3], watch.free[5], watch.free[7]
    assert {"z"} < first < second < third == set(watch.state) == watch.free[8] and first == watch.free[4]
    order = list(watch.state)
    assert order[0] in first and order[-2] in third - second  # the last one is z
    for moved, free in zip(watch.moved, watch.free, strict=True):
        assert moved <= free and len(moved) > len(free) / 2


def test_all_at_once_and_never(fit_tiny):
    watch = fitted(fit_tiny, "iterations=4", "descent.stages.latent_alone=2", "descent.stages.parts=1")
    assert watch.moved[:2] == [{"z"}] * 2 and len(watch.moved[2]) > len(watch.state) / 2
    watch = fitted(fit_tiny, "iterations=4", "descent.stages.latent_alone=4", "descent.weight_noise=0.1")
    assert watch.moved == [{"z"}] * 4


def test_a_resumed_fit_is_the_same(fit_tiny, tmp_path):
    more = [*SEARCH, "descent.stages.latent_alone=4", "descent.stages.every=4", "callbacks.guard.every=1",
            "log_every=1", "iterations=14"]
    whole, parts = Watch(), Watch()
    fit_tiny(*more, folder=tmp_path / "whole", callbacks=[whole])
    for end in (3, 9):
        with pytest.raises(Killed):
            fit_tiny(*more, folder=tmp_path / "parts", callbacks=[KillAt(end)])
    fit_tiny(*more, folder=tmp_path / "parts", callbacks=[parts])
    assert len(parts.moved) == 5 and parts.state.keys() == whole.state.keys()
    for name, weight in whole.state.items():
        assert torch.equal(weight, parts.state[name]), name


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "muon", "sgld"])
def test_every_optimiser_leaves_frozen_weights_alone(optimizer, fit_tiny):
    watch = fitted(fit_tiny, f"optimizer={optimizer}", "iterations=3", "descent.stages.latent_alone=2",
                   "descent.stages.parts=1")
    assert watch.moved[:2] == [{"z"}] * 2 and len(watch.moved[2]) > len(watch.state) / 2


def test_how_many_layers_move():
    stages = LatentFirst(10, 3, 5)
    assert [stages.moving(6, t) for t in (1, 10, 11, 15, 16, 20, 21, 1000)] == [0, 0, 2, 2, 4, 4, 6, 6]
    assert [LatentFirst(1, 5, 1).moving(2, t) for t in range(1, 8)] == [0, 0, 1, 1, 2, 2, 2]
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    All()(net, 1)
    assert all(weight.requires_grad for weight in net.parameters())


def test_a_latent_that_does_not_move_is_refused():
    cfg = compose(["data.size=16", "descent/stages=latent_first", "logger=none"])
    problem = build_problem(cfg.task, load_images(cfg.data), 0)
    with pytest.raises(ValueError, match=r"descent/stages=latent_first: the latent of this fit .* latent=learned"):
        build_module(cfg, problem)


@pytest.mark.parametrize("changes, said", [
    ({"latent_alone": 0}, "descent.stages.latent_alone=0"), ({"parts": 1.5}, "descent.stages.parts=1.5"),
    ({"every": "often"}, "descent.stages.every=often")])
def test_values_that_cannot_work(changes, said):
    with pytest.raises(ValueError, match=said):
        LatentFirst(**({"latent_alone": 1, "parts": 1, "every": 1} | changes))
