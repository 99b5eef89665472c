"""The whole state of a fit as a tree of tensors: what a checkpoint keeps and a rollback restores."""

from typing import Any

import pytorch_lightning as pl

from dip_lab.trees import clone


def parts_of(trainer: pl.Trainer, module: pl.LightningModule, stopping) -> dict[str, Any]:
    """The objects with a state dict that together make up the fit. The generator's holds the batch-norm buffers."""
    return {
        "generator": module.generator,
        "optimizer": trainer.optimizers[0],
        "average": module.average,
        "regularizer": module.regularizer,
        "stopping": stopping,
    }


def live_state(parts: dict[str, Any]) -> dict[str, Any]:
    """The state dicts of the parts, with live tensors."""
    return {name: part.state_dict() for name, part in parts.items()}


def restore_state(parts: dict[str, Any], state: dict[str, Any]) -> None:
    """Load a copy of `state` into the parts, so that the fit never writes into `state` afterwards."""
    state = clone(state)
    for name, part in parts.items():
        part.load_state_dict(state[name])
