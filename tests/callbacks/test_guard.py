"""The guard rolls a broken fit back; each of the five faults of the published backtracking has a test."""

import math

import pytest
import pytorch_lightning as pl
import torch

from dip_lab.callbacks.guard import Guard
from dip_lab.callbacks.state import live_state, parts_of
from dip_lab.trees import clone

NAN = float("nan")


class Watch(pl.Callback):
    """Keeps a copy of the whole state after each iteration, and before each step."""

    def __init__(self):
        self.after, self.before = {}, {}

    def on_train_start(self, trainer, module):
        self.guard = next(c for c in trainer.callbacks if isinstance(c, Guard))
        self.start = clone(live_state(parts_of(trainer, module, self.guard.stopping)))

    def on_train_batch_start(self, trainer, module, iteration, batch_idx):
        self.before[iteration] = clone(live_state(parts_of(trainer, module, self.guard.stopping)))

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
        live = live_state(parts_of(trainer, module, self.guard.stopping))
        self.after[iteration] = clone(live)
        pointers = {tensor.data_ptr() for tensor in tensors(live)}
        assert pointers.isdisjoint(tensor.data_ptr() for tensor in tensors(self.guard.snapshot))


class Break(pl.Callback):
    """Before the steps in `at`: the weights become NaN, or the loss does, or the picture goes black."""

    def __init__(self, how, *at):
        self.how, self.at = how, at

    def on_train_batch_start(self, trainer, module, iteration, batch_idx):
        if iteration not in self.at:
            return
        if self.how == "weights":
            next(module.parameters()).data.fill_(NAN)
        elif self.how == "loss":
            handle = module.problem.measure.register_forward_hook(lambda *call: (handle.remove(), call[-1] * NAN)[1])
        elif self.how == "black":
            module.generator.net.head.bias.data.fill_(-30.0)


def tensors(tree):
    if isinstance(tree, torch.Tensor):
        return [tree] if tree.numel() else []
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for value in values for tensor in tensors(value)]


def assert_equal(state, other):
    assert set(state) == set(other) == {"generator", "optimizer", "average", "regularizer", "stopping"}
    torch.testing.assert_close(tensors(state), tensors(other), rtol=0, atol=0, equal_nan=True)


def finite(restoration):
    numbers = [restoration.summary[key] for key in ("psnr", "ssim", "psnr_last")]
    return bool(restoration.image.isfinite().all()) and all(map(math.isfinite, numbers))


@pytest.mark.parametrize("options", [(), ("average=none",), ("optimizer=sgd",), ("stopping=fixed",)], ids=str)
@pytest.mark.parametrize("how", ["weights", "loss", "black"])
def test_the_fit_goes_back_and_ends_well(how, options, fit_tiny):
    watch = Watch()
    restoration = fit_tiny(*options, "stopping.patience=500" if "stopping=fixed" not in options else "name=x",
                           "iterations=40", callbacks=[Break(how, 25), watch])
    (event,) = restoration.summary["guard_events"]
    assert (event["iteration"], event["back_to"]) == (30, 20)
    assert ("fell by" if how == "black" else "not finite") in event["what"]
    assert_equal(watch.after[30], watch.after[20])  # weights, batch-norm buffers, moments, average and rule
    assert_equal(watch.before[31], watch.after[20])  # and the bad gradient is not applied on top
    assert restoration.summary["iterations"] == 40
    assert finite(restoration)


def test_what_goes_back_has_buffers_and_moments(fit_tiny):
    watch = Watch()
    fit_tiny("iterations=30", "optimizer=adam", callbacks=[Break("weights", 25), watch])
    state, other = watch.after[30], watch.after[29]
    assert any(key.endswith("running_mean") for key in state["generator"])
    for part, key in (("generator", "running_mean"), ("optimizer", None), ("average", None), ("stopping", None)):
        mine, theirs = ([t for k, v in s[part].items() if key is None or k.endswith(key) for t in tensors(v)]
                        for s in (state, other))
        assert mine and not all(map(torch.equal, mine, theirs)), part
    assert state["optimizer"]["state"][0]["step"] == 20


def test_the_iteration_count_goes_on(fit_tiny):
    seen = []

    class Latents(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
            seen.append((iteration, module.generator.latent._jittered.sum().item()))

    restoration = fit_tiny("stopping.patience=500", callbacks=[Break("black", 25), Latents()])
    assert [iteration for iteration, _ in seen] == list(range(1, 61))
    assert len({jitter for _, jitter in seen}) == 60  # no two iterations have the same jitter
    assert [row["iteration"] for row in restoration.history.rows] == [1, *range(5, 61, 5)]


@pytest.mark.parametrize("log_every", [1, 5, 10, 25])
def test_logged_iterations_are_looked_at_too(log_every, fit_tiny):
    restoration = fit_tiny(f"log_every={log_every}", "iterations=31", callbacks=[Break("black", 29)])
    assert [event["iteration"] for event in restoration.summary["guard_events"]] == [30]


def test_a_loss_that_is_not_finite_between_two_looks_counts(fit_tiny):
    class Blink(pl.Callback):  # the loss of one iteration; its gradient, the weights and the output stay finite
        def on_train_batch_start(self, trainer, module, iteration, batch_idx):
            if iteration == 22:
                handle = module.problem.measure.register_forward_hook(
                    lambda *call: (handle.remove(), call[-1] + float("inf"))[1]
                )

    restoration = fit_tiny("iterations=31", callbacks=[Blink()])
    assert [event["iteration"] for event in restoration.summary["guard_events"]] == [30]


def test_a_snapshot_with_broken_weights_is_not_taken(fit_tiny):
    """The step at which the guard looks may break the weights while its loss and output were still finite."""
    steps = []

    class BadGradient(pl.Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            steps.append(None)
            if len(steps) == 20:
                next(module.parameters()).grad.fill_(NAN)

    restoration = fit_tiny("average=none", "stopping=fixed", callbacks=[BadGradient()])
    assert [(e["iteration"], e["back_to"]) for e in restoration.summary["guard_events"]] == [(20, 10)]
    assert finite(restoration)


@pytest.mark.parametrize("average", ["ema", "none"])
@pytest.mark.parametrize("stopping", ["wmv", "fixed"])
@pytest.mark.parametrize("at", [(1, 2, 3), tuple(range(1, 12))], ids=len)
def test_broken_from_the_first_iteration(at, stopping, average, fit_tiny):
    watch = Watch()
    restoration = fit_tiny(f"stopping={stopping}", f"average={average}", "iterations=30",
                           callbacks=[Break("weights", *at), watch])
    assert [e["back_to"] for e in restoration.summary["guard_events"]] == [0] * (1 + (len(at) > 10))
    assert_equal(watch.after[10], watch.start)
    assert finite(restoration)


@pytest.mark.parametrize("average", ["ema", "none"])
@pytest.mark.parametrize("stopping", ["wmv", "fixed"])
@pytest.mark.parametrize("first", [1, 32])
def test_after_max_events_the_fit_ends_with_what_was_good(first, stopping, average, fit_tiny):
    restoration = fit_tiny(f"stopping={stopping}", f"average={average}", "callbacks.guard.max_events=2",
                           callbacks=[Break("loss", *range(first, 61))])
    summary = restoration.summary
    assert summary["stop_reason"].startswith("guard: a value was not finite")
    assert len(summary["guard_events"]) == 2
    assert summary["iterations"] == (20 if first == 1 else 50)
    assert restoration.image.isfinite().all()
    assert math.isfinite(summary["psnr"])
    assert summary["status"] == "failed" and summary["error"] == summary["stop_reason"]


@pytest.mark.parametrize("average", ["ema", "none"])
@pytest.mark.parametrize("how", ["weights", "loss", "black"])
def test_broken_just_before_the_end(how, average, fit_tiny):
    """No look is left, and the last image would be the answer."""
    restoration = fit_tiny("stopping=fixed", f"average={average}", "iterations=47", callbacks=[Break(how, 44)])
    assert [(e["iteration"], e["back_to"]) for e in restoration.summary["guard_events"]] == [(47, 40)]
    assert restoration.summary["chosen_iteration"] == 40
    assert restoration.image.isfinite().all()
    assert restoration.image.mean() > 0.05


def test_a_rule_that_stops_because_of_what_is_broken_is_not_believed(fit_tiny):
    restoration = fit_tiny("callbacks.guard.every=25", "iterations=70", "stopping.patience=20",
                           callbacks=[Break("weights", 26)])
    (event,) = restoration.summary["guard_events"]
    assert event["iteration"] == 50 and event["back_to"] == 25
    assert restoration.summary["iterations"] > 50


@pytest.mark.parametrize("accepted", [0.0, -1.0, 1e-30])
def test_a_loss_of_zero_or_below_is_no_collapse(accepted, fit_tiny):
    class Perfect(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
            guard = next(c for c in trainer.callbacks if isinstance(c, Guard))
            if iteration == 10:
                guard.accepted_loss = accepted

    events = fit_tiny("iterations=20", callbacks=[Perfect()]).summary["guard_events"]
    assert len(events) == (accepted > 0)


def test_steady_snapshots_allocate_nothing(fit_tiny):
    pointers = []

    class Pointers(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
            guard = next(c for c in trainer.callbacks if isinstance(c, Guard))
            if iteration % 10 == 0:
                pointers.append([tensor.data_ptr() for tensor in tensors(guard.snapshot)])

    fit_tiny(callbacks=[Pointers()])
    assert len(pointers) >= 4 and all(p == pointers[0] for p in pointers)


def test_each_return_to_the_same_snapshot_halves_the_step_again(fit_tiny):
    rates = {}

    class Rates(pl.Callback):
        def on_train_batch_start(self, trainer, module, iteration, batch_idx):
            rates[iteration] = trainer.optimizers[0].param_groups[0]["initial_lr"]

    fit_tiny("iterations=60", "stopping=fixed", callbacks=[Break("loss", 25, 35, 55), Rates()])
    assert rates[30] == 0.01  # broken at 25, seen at 30
    assert rates[31] == rates[40] == 0.005  # back at 20, broken again at 35
    assert rates[41] == rates[60] == 0.0025  # sound at 50, which is the snapshot from there on


@pytest.mark.parametrize("overrides", [("iterations=4",), ("iterations=4", "average=none"),
                                       ("iterations=3", "splits.seeds.count=2")])
def test_a_fit_that_broke_before_it_was_found_sound_has_failed(overrides, fit_tiny, without_plots, tmp_path):
    restored = fit_tiny("stopping=fixed", "optimizer.lr=1e38", *overrides, folder=tmp_path)
    assert restored.summary.status == "failed" and "not finite" in restored.summary.error
    assert restored.image.isfinite().all()
