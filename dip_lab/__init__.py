"""Untrained-network image restoration (Deep Image Prior): configs, fits, sweeps, tables.

`dip_lab.restore` is the whole program as one function; `run.py` is the same from the command line.
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["Restoration", "restore"]


def __getattr__(name: str):
    """Import torch and Lightning only when they are needed: `run.py --help` must not wait for them."""
    if name in __all__:
        return getattr(import_module("dip_lab.api"), name)
    raise AttributeError(f"module 'dip_lab' has no attribute {name!r}")
