"""What each generator costs: `python scripts/benchmark.py nets --size 256`.

One step of a fit with the net's own latent: generator, misfit, backward, Adam; without the framework around it. Each
net runs in its own process, one after the other.
"""

import argparse
import csv
import io
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from typing import Any

WARM_UP = 2


@dataclass(frozen=True)
class Cost:
    """One net at one size. GFLOPs are those of convolutions, matrix products and attention, forward and backward."""

    net: str
    parameters: int
    gflops: float
    seconds: float
    memory_mb: float


def measure(net: str, size: int, device: str, precision: str, steps: int) -> Cost:
    """Build the net and time its step, the median of `steps`; memory is the peak above that of the bare process."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from dip_lab.compose import compose
    from dip_lab.machine import peak_memory_mb, tune_allocator

    tune_allocator()
    cfg = compose([f"net={net}", f"precision={precision}"])
    before = peak_memory_mb(device)
    generator, step = bare_step(cfg, size, device)
    seconds = []
    for iteration in range(1, WARM_UP + steps + 1):
        started = time.perf_counter()
        step(iteration)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    memory = peak_memory_mb(device) - before
    # Counted last, and with attention written out: the counter does not know the fused one of the CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step(WARM_UP + steps + 1)
    parameters = sum(parameter.numel() for parameter in generator.net.parameters())
    return Cost(net, parameters, counter.get_total_flops() / 1e9, statistics.median(seconds[WARM_UP:]), memory)


def bare_step(cfg: Any, size: int, device: str) -> tuple[Any, Callable[[int], None]]:
    """The generator of a config for a random RGB picture, and the function that makes the step of an iteration."""
    from dip_lab.build import build_generator, build_problem
    from dip_lab.data.images import Images
    from dip_lab.instantiate import instantiate

    problem = build_problem(cfg.task, Images("random", random_pixels(size)), cfg.seed).to(device)
    generator = build_generator(cfg, problem).to(device)
    optimizer = instantiate(cfg.optimizer)(generator.parameters())

    def step(iteration: int) -> None:
        optimizer.zero_grad()
        problem.misfit(generator(iteration)).backward()
        optimizer.step()

    return generator, step


def random_pixels(size: int) -> Any:
    """(1, 3, size, size) in [0, 1), the same in every process."""
    import torch

    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))


def as_markdown(costs: list[Cost]) -> str:
    lines = ["| net | parameters | GFLOP/iteration | s/iteration | peak memory, MB |", f"| --- |{' ---: |' * 4}"]
    lines += [f"| {c.net} | {c.parameters:,} | {c.gflops:.1f} | {c.seconds:.3f} | {c.memory_mb:.0f} |" for c in costs]
    return "\n".join(lines)


def as_csv(costs: list[Cost], size: int, machine: str) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*(field.name for field in fields(Cost)), "size", "machine"])
    writer.writerows([*astuple(cost), size, machine] for cost in costs)
    return buffer.getvalue()


def run(arguments: argparse.Namespace, machine: str) -> None:
    """The subcommand `nets`: prints each net's time when it is measured, and at the end a table, the cheapest first."""
    from dip_lab.catalogue import options

    costs: list[Cost] = []
    for name in arguments.nets or options("net"):
        # A fresh process for each: its peak memory is its own.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            costs.append(pool.apply(measure, (name, arguments.size, arguments.device, arguments.precision,
                                              arguments.steps)))
        print(f"{name}: {costs[-1].seconds:.3f} s", file=sys.stderr)
        costs.sort(key=lambda cost: cost.seconds)
        if arguments.csv:  # after each net: a run that is cut short keeps what it measured
            arguments.csv.write_text(as_csv(costs, arguments.size, machine), encoding="utf-8")
    print(f"{machine}; {arguments.size} x {arguments.size} px, precision {arguments.precision}, "
          f"median of {arguments.steps} steps\n\n{as_markdown(costs)}")
