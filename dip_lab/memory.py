"""How much memory a fit will take, estimated before it begins."""

import contextlib
import itertools
import logging
import math
from pathlib import Path

import torch
from torch import Tensor

from dip_lab.generator import Generator
from dip_lab.precision import autocast_dtype
from dip_lab.problem import Problem
from dip_lab.tasks.operators import windowed

log = logging.getLogger(__name__)
SMALL = 256 * 256  # px of all frames of a step: a fit that is not larger fits anywhere and is not checked
TILES = (2048, 1024, 512, 256, 128)  # px, proposed where memory is too small
GIB = 2**30
STATES = 4  # weight-sized: the weights, their gradient, Adam's two moments
IMAGES = 12  # image-sized float32: target, observation, output, average, those that a rule and the guard keep
OVERHEAD = 1.5  # a step takes this times what it keeps for its backward pass: measured on 10 of the networks


def check_memory(generator: Generator, problem: Problem, device: torch.device) -> None:
    """Log how much memory a large fit will take, and refuse one that does not fit.

    Raises:
        ValueError: too little memory is free; the message names a size of tiles that fits, where tiles are possible.
    """
    frames, _, height, width = problem.image_shape
    batch = min(getattr(generator, "batch", 1), frames)
    free = bytes_free(device)
    if batch * height * width <= SMALL or free is None:
        return
    needed = bytes_needed(generator, problem.image_shape, device)
    if needed <= free:
        log.info("memory: about %.1f GiB of the %.1f that are free", needed / GIB, free / GIB)
        return
    of_tile = {tile: needed * tile**2 / (height * width) for tile in TILES if tile < max(height, width)}
    fitting = [tile for tile, size in of_tile.items() if size <= free / 2]
    remedy = "a smaller data.size, or a narrower net"
    with contextlib.suppress(ValueError):  # not every operator can be cut into tiles
        windowed(problem.operator, slice(0, 8), slice(0, 8))
        if fitting:
            remedy = f"tile={fitting[0]} (about {of_tile[fitting[0]] / GIB:.1f} GiB), or {remedy}"
    raise ValueError(f"{width} x {height} px need about {needed / GIB:.1f} GiB of memory with this network, "
                     f"{free / GIB:.1f} are free: try {remedy}")


def bytes_needed(generator: Generator, image_shape: tuple[int, int, int, int], device: torch.device) -> int:
    """About how many bytes one step holds: the network's activations, its weights' states, the images (N, C, H, W).

    The network runs once on fake tensors, which have shapes but no content.
    """
    batch = min(getattr(generator, "batch", 1), image_shape[0])
    activations = _activations(generator, (batch, *generator.latent.z.shape[1:]), device.type)
    weights = sum(4 * weight.numel() for weight in generator.net.parameters())
    latents = sum(4 * buffer.numel() for name, buffer in generator.named_buffers() if name in ("keys", "latent.z"))
    return int(OVERHEAD * activations + STATES * weights + IMAGES * 4 * math.prod(image_shape) + latents)


def bytes_free(device: torch.device) -> int | None:
    """The bytes that this process may still take: of a GPU, or of the machine and its container; None: unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = []
    for name, reader in (("/proc/meminfo", _available), ("/sys/fs/cgroup", _of_container)):
        try:
            limits.append(reader(Path(name)))
        except (OSError, ValueError, StopIteration):  # not Linux, or no limit
            continue
    return min(limits, default=None)


def _available(path: Path) -> int:
    line = next(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("MemAvailable"))
    return 1024 * int(line.split()[1])


def _of_container(folder: Path) -> int:
    """The limit less what is in use; the cache of files does not count, because it can be dropped."""
    used = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
    return int((folder / "memory.max").read_text(encoding="utf-8")) - int(used["anon"])


def _activations(generator: Generator, shape: tuple[int, ...], device_type: str) -> int:
    """Bytes that autograd keeps for the network's backward pass, for a latent (N, C, H, W)."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # as torch.compile does; torch exports no other name

    kept: dict[int, Tensor] = {}
    state: dict[str, Tensor] = {}  # on the device too, though none of it is there yet

    def keep(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor
        return tensor

    dtype = autocast_dtype(generator.precision, device_type)
    with FakeTensorMode() as fake:
        for name, tensor in itertools.chain(generator.net.named_parameters(), generator.net.named_buffers()):
            state[name] = fake.from_tensor(tensor).to(device_type)
        with (torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
              torch.autocast(device_type, dtype=dtype, enabled=dtype is not None)):
            torch.func.functional_call(generator.net, state, torch.empty(shape, device=device_type))
    weights = {_storage(tensor) for tensor in state.values()}  # counted by the caller
    return sum(tensor.numel() * tensor.element_size() for storage, tensor in kept.items() if storage not in weights)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
