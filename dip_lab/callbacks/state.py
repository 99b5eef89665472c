"""The whole state of a fit as a tree of tensors: what a checkpoint keeps and a rollback restores."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor


def parts_of(trainer: pl.Trainer, module: pl.LightningModule, stopping) -> dict[str, Any]:
    """The things with a state dict that together are the fit. The generator's holds the batch-norm buffers."""
    return {
        "generator": module.generator,
        "optimizer": trainer.optimizers[0],
        "average": module.average,
        "regularizer": module.regularizer,
        "stopping": stopping,
    }


def live_state(parts: dict[str, Any]) -> dict[str, Any]:
    """Their state dicts; the tensors are the live ones."""
    return {name: part.state_dict() for name, part in parts.items()}


def restore_state(parts: dict[str, Any], state: dict[str, Any]) -> None:
    """Put the parts back; copies, so that the fit never writes into `state` afterwards."""
    state = clone(state)
    for name, part in parts.items():
        part.load_state_dict(state[name])


def clone(tree: Any) -> Any:
    """A deep copy of the tensors of a tree (Optimizer.load_state_dict keeps references to what it is given)."""
    return update(None, tree)


@torch.no_grad()
def update(old: Any, new: Any) -> Any:
    """A copy of `new`, into the tensors of `old` where they fit, so that repeated copies allocate nothing."""
    if isinstance(new, Tensor):
        if isinstance(old, Tensor) and old.shape == new.shape and old.dtype == new.dtype and old.device == new.device:
            return old.copy_(new)
        return new.detach().clone()
    if isinstance(new, dict):
        old = old if isinstance(old, dict) else {}
        return {key: update(old.get(key), value) for key, value in new.items()}
    if isinstance(new, list | tuple):
        old = old if isinstance(old, list | tuple) and len(old) == len(new) else [None] * len(new)
        return type(new)(update(o, n) for o, n in zip(old, new, strict=True))
    return new
