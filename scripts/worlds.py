"""The kinds of processor that this machine can be: itself, and one without AVX-512, as most people's are."""

import contextlib
import os
from collections.abc import Iterator

WORLDS = {"native": {}, "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2",
                                 "MKL_ENABLE_INSTRUCTIONS": "AVX2"}}


@contextlib.contextmanager
def inside(world: str) -> Iterator[None]:
    """Processes that are started inside the block compute as that processor does."""
    before = dict(os.environ)
    os.environ.update(WORLDS[world])
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
