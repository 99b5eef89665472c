"""The whole state of a fit as a tree of tensors: what a checkpoint keeps and a rollback restores."""

import copy
import math
from collections import defaultdict
from collections.abc import Mapping
from types import UnionType
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from dip_lab.trees import clone


def parts_of(trainer: pl.Trainer, module: pl.LightningModule, stopping) -> dict[str, Any]:
    """The objects with a state dict that together make up the fit. The generator's holds the batch-norm buffers."""
    return _parts(module, trainer.optimizers[0], stopping)


def _parts(module: pl.LightningModule, optimizer: Optimizer, stopping) -> dict[str, Any]:
    return {
        "generator": module.generator,
        "optimizer": optimizer,
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


def expected_states(module: pl.LightningModule, stopping) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `refuse_other` compares a state with: one of the same fit before its first step, and one after it.

    Args:
        module: the fit, not begun.
        stopping: its rules, with `state_dict` and `state_after`.
    """
    optimizer = module.configure_optimizers()
    begun = {**live_state(_parts(module, optimizer, stopping)), "optimizer": optimizer}
    output, average = torch.zeros(module.problem.image_shape), copy.deepcopy(module.average)
    average.update(output, 1, module.generator)
    rules = stopping.state_after(output, average.image, module.generator)
    return begun, {**begun, "average": average.state_dict(), "stopping": rules}


def refuse_other(found: Any, expected: Any, place: str) -> None:
    """Return if two trees have the same keys, shapes and types, whatever the values.

    Args:
        found: what was read.
        expected: the tree that it should be like. An `Optimizer` stands for its own state, at any step, and a union
            such as `str | None` for a value of one of these types.
        place: what an error calls it.

    Raises:
        ValueError: it names the first place where they differ.
    """
    if isinstance(expected, Optimizer):
        _refuse_other_steps(found, expected, place)
    elif isinstance(expected, Tensor):
        _refuse_other_tensor(found, expected, place)
    elif isinstance(expected, Mapping):
        if not isinstance(found, Mapping) or found.keys() != expected.keys():
            raise ValueError(f"{place} has other parts")
        for key, value in expected.items():
            refuse_other(found[key], value, f"{place}.{key}")
    elif isinstance(expected, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(expected):
            raise ValueError(f"{place} is no list of {len(expected)}")
        for number, (mine, other) in enumerate(zip(found, expected, strict=True)):
            refuse_other(mine, other, f"{place}.{number}")
    elif isinstance(expected, UnionType):
        if not isinstance(found, expected):
            raise ValueError(f"{place} is {type(found).__name__}, not {expected}")
    elif not _is_like(found, expected):
        raise ValueError(f"{place} is {type(found).__name__}, not {type(expected).__name__}")


def _is_like(found: Any, expected: Any) -> bool:
    """Whether both are numbers, or of one type."""
    if type(found) is type(expected):
        return not isinstance(found, float) or not math.isnan(found)
    return {type(found), type(expected)} == {int, float}


def _refuse_other_tensor(found: Any, expected: Tensor, place: str) -> None:
    if not isinstance(found, Tensor) or found.layout != expected.layout or found.is_meta:
        raise ValueError(f"{place} is no tensor of values")
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise ValueError(f"{place} is {tuple(found.shape)} of {found.dtype}, not {tuple(expected.shape)} of "
                         f"{expected.dtype}")


def _refuse_other_steps(found: Any, optimizer: Optimizer, place: str) -> None:
    """As `refuse_other`. A weight that has had no gradient has no entry; a quasi-Newton method has one for all."""
    expected = optimizer.state_dict()
    if not isinstance(found, Mapping) or found.keys() != expected.keys() or not isinstance(found["state"], Mapping):
        raise ValueError(f"{place} has other parts")
    refuse_other(found["param_groups"], expected["param_groups"], f"{place}.param_groups")
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    entries, values = _entries_after_a_step(optimizer), sum(weight.numel() for weight in weights)
    for number, entry in found["state"].items():
        where = f"{place}.state.{number}"
        if number not in range(len(weights)) or not isinstance(entry, Mapping):
            raise ValueError(f"{where} belongs to no weight")
        weight = weights[number]
        for key, value in entries.get(weight.shape, {}).items():
            refuse_other(entry.get(key), value, f"{where}.{key}")
        for tensor in _tensors(entry):
            if tensor.layout != torch.strided or tensor.numel() not in (1, weight.numel(), values):
                raise ValueError(f"{where} has a tensor of another shape")


def _entries_after_a_step(optimizer: Optimizer) -> dict[torch.Size, dict[str, Any]]:
    """{shape of a weight: the entry of such a weight}, from a step of its twin on zeros of these shapes.

    Empty for an optimiser that cannot be copied like this, such as L-BFGS, which keeps a list of its weights.
    """
    twin = copy.copy(optimizer)
    twin.state, twin.param_groups = defaultdict(dict), [dict(group) for group in optimizer.param_groups]
    for group in twin.param_groups:
        group["params"] = [torch.zeros(shape, requires_grad=True) for shape in {w.shape for w in group["params"]}]
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
    try:
        with torch.random.fork_rng(devices=[]):
            twin.step(lambda: torch.zeros(()))
    except Exception:
        return {}
    return {weight.shape: entry for weight, entry in twin.state.items()}


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    items = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for item in items for tensor in _tensors(item)]
