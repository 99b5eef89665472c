"""Copies of trees of tensors (dicts and lists of them), as state dicts are."""

from typing import Any

import torch
from torch import Tensor


def clone(tree: Any) -> Any:
    """A deep copy of the tensors of a tree (Optimizer.load_state_dict keeps references to what it is given)."""
    return copy_into(None, tree)


@torch.no_grad()
def copy_into(old: Any, new: Any) -> Any:
    """A copy of `new`, into the tensors of `old` where they fit, so that repeated copies allocate nothing."""
    pairs: list[tuple[Tensor, Tensor]] = []
    tree = _matched(old, new, pairs)
    if pairs:  # one call for the hundreds of small tensors of a fit
        torch._foreach_copy_(*map(list, zip(*pairs, strict=True)))
    return tree


def _matched(old: Any, new: Any, pairs: list[tuple[Tensor, Tensor]]) -> Any:
    """The tree of the copy; `pairs` gets the tensors of `old` that are still to be filled, and what with."""
    if isinstance(new, Tensor):
        if isinstance(old, Tensor) and old.shape == new.shape and old.dtype == new.dtype and old.device == new.device:
            pairs.append((old, new))
            return old
        return new.detach().clone()
    if isinstance(new, dict):
        old = old if isinstance(old, dict) else {}
        return {key: _matched(old.get(key), value, pairs) for key, value in new.items()}
    if isinstance(new, list | tuple):
        old = old if isinstance(old, list | tuple) and len(old) == len(new) else [None] * len(new)
        return type(new)(_matched(o, n, pairs) for o, n in zip(old, new, strict=True))
    return new
