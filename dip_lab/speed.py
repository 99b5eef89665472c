"""What makes a step fast on this machine: the allocator, the precision that the hardware is good at, and memory."""

import ctypes
import functools
import resource
import sys

import torch

from dip_lab.checks import one_of

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


def tune_allocator() -> bool:
    """Keep freed tensors in the process instead of unmapping them; true if it took effect (glibc only).

    glibc maps every tensor over 32 MB afresh and unmaps it when it is freed: hundreds of thousands of page faults a
    step. Costs 20 to 40 % more resident memory, and acts on the whole process: right for `run.py`, a choice for
    a notebook.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(M_MMAP_MAX, 0)) and bool(libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
    except (OSError, AttributeError):
        return False


@functools.cache
def has_fast_bf16(device_type: str) -> bool:
    """Whether the hardware multiplies bfloat16 matrices itself (else they are emulated, slower than float32)."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device_type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def autocast_dtype(precision: str, device_type: str) -> torch.dtype | None:
    """The dtype of the network's inner arithmetic: bfloat16, or None for plain float32.

    Raises:
        ValueError: `precision` is not one of auto, bf16, float32.
    """
    choices = {"auto": has_fast_bf16(device_type), "bf16": True, "float32": False}
    return torch.bfloat16 if choices[one_of("precision", precision, choices)] else None


def peak_memory_mb(device: torch.device | str) -> float:
    """The most that was allocated on the CUDA device, or resident in this whole process, so far."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
