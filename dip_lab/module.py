"""The Deep Image Prior as a LightningModule: the whole method on one screen.

Ulyanov, Vedaldi, Lempitsky, Deep Image Prior, CVPR 2018, https://arxiv.org/abs/1711.10925
"""

from collections.abc import Callable, Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from dip_lab.descent.stages import All
from dip_lab.descent.weight_noise import WeightNoise
from dip_lab.generator import Generator
from dip_lab.problem import Problem
from dip_lab.regularizers.regularizer import Regularizer


class DeepImagePrior(pl.LightningModule):
    """Minimise `misfit(A(f(z_t)), y) + regularizer(f(z_t))` over the weights of f, with a jittered latent z_t per step.

    A latent that is itself fitted may add a penalty. A regulariser may explain a part of y, so that the image need not.
    After each step `output` is the step's image `(N, C, H, W)` (for a clip, all its frames) and `loss` its loss, both
    detached and on the device, and `average` has seen the output. Stopping, logging and checkpoints are callbacks.
    """

    def __init__(self, generator: Generator, problem: Problem, regularizer: Regularizer, average,
                 optimizer: Callable[..., Optimizer], schedule: Callable[[int], float], weight_noise: WeightNoise,
                 stages: All):
        super().__init__()
        self.generator = generator
        self.problem = problem
        self.regularizer = regularizer
        self.average = average
        self.optimizer = optimizer
        self.schedule = schedule
        self.weight_noise = weight_noise
        self.stages = stages
        stages.check(generator.net, generator.latent)
        self.iteration = 0
        self.output: Tensor | None = None
        self.loss: Tensor | None = None

    def on_train_batch_start(self, iteration: int, batch_idx: int) -> None:
        self.iteration = iteration
        self.stages(self.generator.net, iteration)

    def training_step(self, iteration: int, batch_idx: int) -> Tensor:
        image, frames = self.generator(iteration), self.generator.frames_of(iteration)
        loss = self.problem.misfit(image, frames, self.regularizer.corruption()) + self.regularizer(image, frames)
        loss = loss + self.generator.penalty(image)
        self.output, self.loss = self.generator.whole(image, iteration), loss.detach()
        return loss

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer, optimizer_closure=None) -> None:
        factor = self.schedule(self.iteration)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        optimizer.step(closure=optimizer_closure)  # an optimiser such as L-BFGS calls training_step several times
        with torch.no_grad():
            self.weight_noise(self.generator.net, self.iteration)
            self.regularizer.after_step(self.output, self.iteration)
            self.generator.after_step(self.output, self.iteration)
            self.average.update(self.output, self.iteration, self.generator)

    def configure_optimizers(self) -> Optimizer:
        latent = list(self.generator.latent.parameters())  # a learned one has a learning rate of its own
        if not latent:
            optimizer = self.optimizer(self.parameters())
        else:
            weights = {"params": list(self.generator.net.parameters())}
            optimizer = self.optimizer([weights, {"params": latent, "lr": self.generator.latent.lr}])
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]  # the schedule's factor applies to this one; the guard halves it
        return optimizer


class Iterations:
    """What Lightning gets as training data, which a fit has none of: the numbers start, start + 1, ... without end."""

    def __init__(self, start: int):
        self.start = start

    def __iter__(self) -> Iterator[int]:
        iteration = self.start
        while True:
            yield iteration
            iteration += 1
