"""What a fit uses of this machine: threads, a GPU, memory."""

import contextlib
import ctypes
import gc
import os
import resource
import sys
from pathlib import Path

import torch

from dip_lab.checks import integer
from dip_lab.runs.sharing import fits_at_once

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>
ALL_THREADS = torch.get_num_threads()  # one a core, or what a launcher left in OMP_NUM_THREADS
DEVICES = Path("/dev")


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


def use_threads(threads: int | str) -> None:
    """Let torch use this many threads from now on.

    `auto`: what OMP_NUM_THREADS says, or the share of the cores for each of the fits that run on them at this moment.
    With another number of threads, sums are taken in another order and results differ in their last digits.

    Raises:
        ValueError: not a whole number of at least 1.
    """
    if threads != "auto":
        torch.set_num_threads(integer("threads", threads, 1))
    elif "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(ALL_THREADS)
    else:
        torch.set_num_threads(max(1, ALL_THREADS // fits_at_once()))


def use_gpu(gpu: int | str, job: int | None) -> None:
    """Let this process see only one of the GPUs; no effect where there is none, or once CUDA has started.

    Args:
        gpu: its number, from 0, among the GPUs that this process may see; `auto`: `job` modulo their number.
        job: number of the cell in its sweep; None: a single run, which takes the first GPU.

    Raises:
        ValueError: there is no such GPU.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    nodes = [path.name.removeprefix("nvidia") for path in DEVICES.glob("nvidia[0-9]*")]  # asking CUDA would start it
    known = sorted(nodes, key=int) if visible is None else [name for name in visible.split(",") if name]
    if gpu != "auto":
        number = integer("gpu", gpu, 0)
        if number >= len(known):
            raise ValueError(f"gpu={gpu}: this machine has {_gpus(len(known))}")
    elif known and job is not None:
        number = job % len(known)
    else:
        return
    if not torch.cuda.is_initialized():
        os.environ["CUDA_VISIBLE_DEVICES"] = known[number]


def _gpus(count: int) -> str:
    """
    >>> _gpus(0), _gpus(1), _gpus(4)
    ('no GPU', 'one GPU: give gpu=0', '4 GPUs: give a number from 0 to 3')
    """
    few = ("no GPU", "one GPU: give gpu=0")
    return few[count] if count < len(few) else f"{count} GPUs: give a number from 0 to {count - 1}"


def free_memory() -> None:
    """Free the memory of this process's earlier fits, whose peak no longer counts.

    Lightning's objects refer to each other in circles.
    """
    gc.collect()
    with contextlib.suppress(OSError):  # Linux only: the peak of resident memory counts anew from here
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory_mb(device: torch.device | str) -> float:
    """The most that was allocated on the CUDA device, or resident in this whole process, since `free_memory`."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
