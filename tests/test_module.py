import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dip_lab.build import build_generator, build_module, build_problem, load_images
from dip_lab.instantiate import instantiate
from dip_lab.module import Iterations
from dip_lab.precision import has_fast_bf16


class Losses(pl.Callback):
    def __init__(self):
        self.losses, self.outputs, self.module = [], [], None

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
        self.losses.append(module.loss.item())
        self.outputs.append(module.output.clone())
        self.module = module


def problem_of(cfg):
    return build_problem(cfg.task, load_images(cfg.data), cfg.seed)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("task", ["denoise", "inpaint"])
def test_the_fit_is_the_plain_loop_bit_for_bit(task, optimizer, compose_tiny, fit_tiny):
    options = (f"task={task}", f"optimizer={optimizer}", "iterations=5", "regularizer=tv")
    seen = Losses()
    fit_tiny(*options, callbacks=[seen])

    cfg, _ = compose_tiny(*options)
    problem = problem_of(cfg)
    generator = build_generator(cfg, problem)
    regularizer = instantiate(cfg.regularizer.tv)
    step = instantiate(cfg.optimizer)(generator.parameters())
    average = None
    for iteration in range(1, 6):
        image = generator(iteration)
        loss = problem.misfit(image) + regularizer(image)
        step.zero_grad()
        loss.backward()
        step.step()
        image = image.detach()
        average = image.clone() if average is None else average.lerp(image, 1 - 0.99)
        assert loss.item() == seen.losses[iteration - 1]
        assert torch.equal(image, seen.outputs[iteration - 1])
    mine, theirs = generator.state_dict(), seen.module.generator.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert torch.equal(average, seen.module.average.image)


class NoHostSync(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        assert name not in ("_local_scalar_dense", "is_nonzero", "equal", "nonzero"), f"{name} in a step"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("average", ["ema", "none"])
@pytest.mark.parametrize("task", ["denoise", "inpaint", "super_resolution"])
def test_a_step_does_not_wait_for_the_device(task, average, compose_tiny):
    cfg, _ = compose_tiny(f"task={task}", f"average={average}", "regularizer=tv")
    module = build_module(cfg, problem_of(cfg))
    optimizer = module.configure_optimizers()

    def step(iteration):
        module.training_step(iteration, 0).backward()
        module.average.update(module.output, iteration)

    step(1)
    optimizer.step()
    with NoHostSync():
        step(2)
        step(3)
    with pytest.raises(AssertionError, match="in a step"), NoHostSync():
        module.loss.item()


def test_the_output_is_detached_and_the_loss_is_the_misfit(compose_tiny):
    cfg, _ = compose_tiny()
    problem = problem_of(cfg)
    module = build_module(cfg, problem)
    loss = module.training_step(1, 0)
    assert loss.requires_grad and not module.loss.requires_grad and not module.output.requires_grad
    assert module.output.shape == problem.image_shape
    torch.testing.assert_close(module.loss, (module.output - problem.observation).square().mean())


def test_lbfgs_steps_with_its_closure(fit_tiny):
    seen = Losses()
    fit_tiny("optimizer=lbfgs", "latent.jitter=0", "iterations=8", "stopping=fixed", callbacks=[seen])
    assert len(seen.losses) == 8
    assert seen.losses[-1] < seen.losses[0]


@pytest.mark.skipif(not has_fast_bf16("cpu"), reason="this CPU emulates bfloat16")
def test_bfloat16_agrees_with_float32(fit_tiny):
    scores = {}
    for precision in ("bf16", "float32"):
        restoration = fit_tiny(f"precision={precision}", "data.size=24", "net.width=16", "iterations=30",
                               "average=none", "stopping=fixed", "log_every=1")
        assert restoration.summary["precision"] == precision
        assert restoration.image.dtype == torch.float32
        scores[precision] = np.mean(restoration.history.column("psnr")[-10:])  # one output alone swings by 1 dB
    assert scores["bf16"] == pytest.approx(scores["float32"], abs=0.5)


def test_iterations_have_no_end():
    assert [iteration for _, iteration in zip(range(3), Iterations(7), strict=False)] == [7, 8, 9]
