"""Every random tensor is a function of (seed, purpose, iteration): no hidden global state.

So a resumed fit equals an uninterrupted one, and two networks of a sweep see the same observation.
"""

import hashlib

import torch


def seed_of(seed: int, purpose: str, iteration: int = 0) -> int:
    """A 63-bit number that depends on all three arguments, the same on every machine.

    >>> seed_of(0, "jitter", 1) == seed_of(0, "jitter", 1) != seed_of(0, "jitter", 2)
    True
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{iteration}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_of(seed: int, purpose: str, iteration: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator for one purpose at one iteration."""
    return torch.Generator(device).manual_seed(seed_of(seed, purpose, iteration))
