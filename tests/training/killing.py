"""A training that is killed, and whether it went on exactly; for the tests of several objectives."""

from pathlib import Path

import torch

from dip_lab.training.module import Training


class Killed(BaseException):
    pass


def folder_of(name: str = "train") -> Path:
    return next(Path("outputs", name).iterdir())


def killed_at(step: int):
    """`Training.training_step` that ends the process, as far as a test can, at a step."""
    before = Training.training_step

    def dies(self, batch, batch_idx):
        if self.step == step:
            raise Killed
        return before(self, batch, batch_idx)

    return dies


def same(one, other):
    """Both trees of tensors and plain values are equal."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, list):
        for mine, theirs in zip(one, other, strict=True):
            same(mine, theirs)
    else:
        assert one == other
