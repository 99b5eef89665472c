"""Speed of one fit step against the textbook: `python scripts/benchmark.py step --sizes 64 128 256`; and, in
net_costs.py, what each generator costs: `python scripts/benchmark.py nets --size 256`; and, in quality.py, the seconds
to a PSNR: `python scripts/benchmark.py quality`.

Contenders, all denoising one random RGB picture:

* textbook: the published skip network (2 217 831 parameters) in the loop of the published notebooks, in plain torch,
  float32, eager, their three PSNRs taken on the host at each step; without their backtracking, which would only slow
  it down. It uses nothing of dip_lab.
* dip_lab: what `python run.py net=skip logger=csv` runs, from the allocator to every callback and history.csv. `--nets
  skip skip_narrow` and `--precision auto float32` put each such pair beside the one textbook.
* bare: dip_lab's generator, misfit, optimiser and allocator in a plain loop: dip_lab minus bare is the framework.

`--loops` leaves contenders out: all of a size are in memory at once, and `--sizes 1024 --loops dip_lab --rounds 1
--steps 1` takes the peak memory of one. `ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2`
before the command makes the processor one without AVX-512; the first line of the report says what torch uses.

Machines are noisy, so only ratios within one run count. Each contender has its own process (the allocator's settings
are process-wide), which waits until it is told to run a block of steps. The blocks take turns, A B C A B C, so that
one process works at a time. Seconds are medians over the rounds; ratios and overheads are taken within each round.

The parent does not import torch: on Linux a child's peak memory begins with its parent's.
"""

import argparse
import contextlib
import csv
import io
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # the checkout's dip_lab; net_costs
import net_costs  # noqa: E402
import quality  # noqa: E402
from net_costs import bare_step, random_pixels  # noqa: E402

from dip_lab.utf8 import use_utf8  # noqa: E402

LOOPS = ("textbook", "dip_lab", "bare")
PARAMETERS = 2_217_831
LEAST_SIZE = 64  # five halvings must leave 2 px: batch-norm of a single pixel is undefined
STRIDE = 32
SIGMA = 25 / 255
JITTER = 1 / 30
WARM_UP = 3  # steps before the first block: optimiser state, the libraries' choices of kernels


@dataclass(frozen=True)
class Contender:
    """A loop (textbook, dip_lab or bare), the network it fits and the precision it is given."""

    loop: str
    net: str
    precision: str

    def __str__(self) -> str:
        return self.loop if self == TEXTBOOK else f"{self.loop} {self.net} {self.precision}"


TEXTBOOK = Contender("textbook", "skip", "float32")


@dataclass(frozen=True)
class Row:
    """One line: speed-ups are over the textbook, overheads over bare with the same net and precision, if they ran."""

    size: int
    contender: str
    arithmetic: str
    seconds_per_step: float
    speedup: float | None
    speedup_least: float | None
    speedup_most: float | None
    overhead_percent: float | None
    overhead_ms: float | None
    peak_memory_mb: float


# The worker's side imports torch inside its functions.


class Gate:
    """Lets a loop run a block of steps when the parent asks for one; answers (seconds per step, peak memory in MB).

    A loop calls `passed` before its first step and after each step, and ends when that is False.
    """

    def __init__(self, connection: Connection, device: str):
        self.connection = connection
        self.device = device
        self.asked = self.left = 0
        self.started = 0.0

    def passed(self) -> bool:
        self.left -= 1
        if self.left > 0:
            return True
        try:
            if self.asked:
                self.connection.send(self._measured())
            self.asked = self.left = self.connection.recv()
        except (EOFError, OSError):  # the parent has closed the pipe: no more blocks
            return False
        self.started = time.perf_counter()
        return True

    def _measured(self) -> tuple[float, float]:
        from dip_lab.machine import peak_memory_mb

        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()  # the next block begins with an idle device
        seconds = (time.perf_counter() - self.started) / self.asked
        return seconds, peak_memory_mb(self.device)


def work(connection: Connection, contender: Contender, size: int, device: str, processes: int) -> None:
    """Main function of a worker: sends a dict about itself, then runs; if something fails, it sends a string."""
    try:
        connection.send(prepare(contender, device))
        gate = Gate(connection, device)
        if contender.loop == "textbook":
            run_textbook(gate, size)
        elif contender.loop == "bare":
            run_bare(gate, size, contender)
        else:
            run_dip_lab(gate, size, contender, processes)
    except KeyboardInterrupt:
        pass
    except Exception:
        with contextlib.suppress(OSError):
            connection.send(traceback.format_exc())


def prepare(contender: Contender, device: str) -> dict[str, Any]:
    """Set the process up; returns what the header of the report says about it."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this torch sees no CUDA device")
    from dip_lab.precision import autocast_dtype, has_fast_bf16

    arithmetic = "float32"
    if contender.loop != "textbook":
        from dip_lab.machine import tune_allocator

        tune_allocator()  # as run.py does
        arithmetic = "float32" if autocast_dtype(contender.precision, device) is None else "bf16"
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    capability = f"{torch.backends.cpu.get_cpu_capability()} {'with' if has_fast_bf16('cpu') else 'without'} bf16"
    return {"arithmetic": arithmetic, "torch": torch.__version__, "threads": torch.get_num_threads(), "gpu": gpu,
            "capability": capability}


def textbook_net():
    """The published skip network: 32 channels in, five scales of 128, branches of 4, bilinear, reflection padding."""
    from torch import nn

    def block(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
        # Padding by 0 before a 1x1 convolution copies the map; the published network does just that.
        return nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride),
                             nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True))

    class Side(nn.Module):
        """The branch and everything deeper, concatenated."""

        def __init__(self, inputs: int, deeper: nn.Module):
            super().__init__()
            self.branch = block(inputs, 4, 1)
            self.deeper = nn.Sequential(block(inputs, 128, 3, stride=2), block(128, 128, 3), deeper,
                                        nn.Upsample(scale_factor=2, mode="bilinear"))

        def forward(self, x):
            import torch

            return torch.cat([self.branch(x), self.deeper(x)], 1)

    net = nn.Sequential()
    for inputs in (128, 128, 128, 128, 32):  # from the innermost scale outwards
        net = nn.Sequential(Side(inputs, net), nn.BatchNorm2d(132), block(132, 128, 3), block(128, 128, 1))
    return nn.Sequential(net, nn.ReflectionPad2d(0), nn.Conv2d(128, 3, 1), nn.Sigmoid())


def run_textbook(gate: Gate, size: int) -> None:
    """The published denoising loop."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    def psnr(image: np.ndarray, reference: np.ndarray) -> float:
        return 10 * np.log10(1 / np.mean((image - reference) ** 2, dtype=np.float64))

    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    target = random_pixels(size)
    noisy = (target + SIGMA * torch.randn_like(target)).clamp_(0, 1)
    target_host, noisy_host = target.numpy()[0], noisy.numpy()[0]
    noisy = noisy.to(gate.device)
    net = textbook_net().to(gate.device)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    if parameters != PARAMETERS:
        raise RuntimeError(f"the textbook network has {parameters} parameters, the published one {PARAMETERS}")
    saved = 0.1 * torch.rand(1, 32, size, size, device=gate.device)
    noise = saved.clone()
    average = None
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    while gate.passed():
        optimizer.zero_grad()
        out = net(saved + noise.normal_() * JITTER)
        average = out.detach() if average is None else average * 0.99 + out.detach() * 0.01
        F.mse_loss(out, noisy).backward()
        psnr(out.detach().cpu().numpy()[0], noisy_host)
        psnr(out.detach().cpu().numpy()[0], target_host)
        psnr(average.detach().cpu().numpy()[0], target_host)
        optimizer.step()


def run_bare(gate: Gate, size: int, contender: Contender) -> None:
    """dip_lab's mathematics without Lightning, callbacks, average and logging."""
    cfg, _ = composed(gate.device, contender)
    _, step = bare_step(cfg, size, gate.device)
    iteration = 0
    while gate.passed():
        iteration += 1
        step(iteration)


def run_dip_lab(gate: Gate, size: int, contender: Contender, processes: int) -> None:
    """The real fit with the real Trainer; a callback holds it at the gate."""
    import pytorch_lightning as pl

    from dip_lab.data.images import Images
    from dip_lab.experiment import run

    class Hold(pl.Callback):
        def on_train_start(self, trainer, module) -> None:
            trainer.should_stop = not gate.passed()

        def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
            trainer.should_stop = not gate.passed()

    with tempfile.TemporaryDirectory() as folder:
        cfg, cell = composed(gate.device, contender, f"logger.csv.save_dir={folder}", folder=Path(folder))
        # The checkpoint's clock also runs while the other processes work.
        cfg.callbacks.checkpoint.seconds *= processes
        with contextlib.redirect_stderr(io.StringIO()):  # no terminal, so no progress bar in the report
            run(cfg, cell, Images("random", random_pixels(size)), [Hold()])


def composed(device: str, contender: Contender, *overrides: str, folder: Path | None = None) -> tuple[Any, Any]:
    """The config of run.py, with iterations and patience that never end a fit; and its cell."""
    from dip_lab.compose import cell_at, compose, without_hydra

    arguments = [f"net={contender.net}", "logger=csv", "iterations=1000000000", "task.sigma=25",
                 "stopping=holdout", "stopping.patience=1000000000",
                 "name=benchmark", f"device={device}", f"precision={contender.precision}", *overrides]
    cfg = compose(arguments)
    # The logger resolves all it is given, and the node `hydra` resolves only in a job.
    return without_hydra(cfg), cell_at(without_hydra(cfg), cfg.hydra, folder)


# The parent's side.


@contextlib.contextmanager
def workers(contenders: Sequence[Contender], size: int, device: str) -> Iterator[list[Connection]]:
    """One waiting process for each contender. They end when their pipes are closed."""
    context = multiprocessing.get_context("spawn")
    connections, processes = [], []
    try:
        for contender in contenders:
            mine, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, contender, size, device, len(contenders)), daemon=True)
            process.start()
            theirs.close()
            connections.append(mine)
            processes.append(process)
        yield connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.join()


def answer(connection: Connection) -> Any:
    """What a worker sends next; ends the program if the worker failed."""
    try:
        content = connection.recv()
    except EOFError:
        raise SystemExit("a worker ended without a word: out of memory? try a smaller size") from None
    if isinstance(content, str):
        raise SystemExit(content)
    return content


def ask(connection: Connection, steps: int) -> tuple[float, float]:
    """Have one block run: (seconds per step, peak memory in MB)."""
    connection.send(steps)
    return answer(connection)


def rows_of(size: int, contenders: Sequence[Contender], arithmetics: Sequence[str], seconds: Sequence[Sequence[float]],
            memory: Sequence[float]) -> list[Row]:
    """Medians, and ratios round by round; `seconds[i][k]` is contender i in round k."""
    rows = []
    blocks = dict(zip(contenders, seconds, strict=True))
    for contender, arithmetic, mine, peak in zip(contenders, arithmetics, seconds, memory, strict=True):
        speedup = least = most = percent = extra = None
        if TEXTBOOK in blocks:
            ratios = [reference / own for reference, own in zip(blocks[TEXTBOOK], mine, strict=True)]
            speedup, least, most = statistics.median(ratios), min(ratios), max(ratios)
        base = blocks.get(replace(contender, loop="bare"))
        if contender.loop == "dip_lab" and base:
            percent = statistics.median(100 * (own / other - 1) for own, other in zip(mine, base, strict=True))
            extra = statistics.median(1000 * (own - other) for own, other in zip(mine, base, strict=True))
        rows.append(Row(size, str(contender), arithmetic, statistics.median(mine), speedup, least, most, percent, extra,
                        peak))
    return rows


def header(about: dict[str, Any], arguments: argparse.Namespace) -> str:
    """One line: the machine and the measurement."""
    parts = [about["gpu"], processor(), about["capability"], f"{about['threads']} threads", f"torch {about['torch']}",
             f"{arguments.rounds} rounds of {arguments.steps} steps"]
    return "; ".join(part for part in parts if part)


def processor() -> str:
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return f"{cpu}, {os.cpu_count()} cores"


def cells(row: Row) -> list[str]:
    """A row as people read it."""
    speedup = "" if row.speedup is None else f"{row.speedup:.2f} ({row.speedup_least:.2f} to {row.speedup_most:.2f})"
    overhead = "" if row.overhead_ms is None else f"{row.overhead_percent:+.1f} %, {row.overhead_ms:+.2f} ms"
    known = row.contender.endswith(row.arithmetic)
    name = row.contender if known else f"{row.contender} ({row.arithmetic})"
    return [str(row.size), name, f"{row.seconds_per_step:.4g}", speedup, overhead, f"{row.peak_memory_mb:.0f}"]


def titles(device: str) -> list[str]:
    memory = "peak device memory, MB" if device == "cuda" else "peak RSS, MB"
    return ["size", "contender", "s/step", "speed-up over textbook", "overhead over bare", memory]


def as_markdown(rows: Sequence[Row], device: str) -> str:
    lines = [titles(device), ["---:", "---", "---:", "---:", "---:", "---:"], *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_csv(rows: Sequence[Row], machine: str) -> str:
    """Numbers in full, with one more column for the line of the header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*(field.name for field in fields(Row)), "machine"])
    writer.writerows([*astuple(row), machine] for row in rows)
    return buffer.getvalue()


def show(rows: Sequence[Row], device: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for i, title in enumerate(titles(device)):
        table.add_column(title, justify="left" if i == 1 else "right")
    for row in rows:
        table.add_row(*cells(row), end_section=row is rows[-1] or row.size != rows[rows.index(row) + 1].size)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def step(arguments: argparse.Namespace) -> None:
    """The subcommand `step`."""
    contenders = [TEXTBOOK] if "textbook" in arguments.loops else []
    contenders += [Contender(loop, net, precision) for net in arguments.nets for precision in arguments.precision
                   for loop in LOOPS[1:] if loop in arguments.loops]
    rows, machine = [], ""
    for size in arguments.sizes:
        with workers(contenders, size, arguments.device) as connections:
            abouts = [answer(connection) for connection in connections]
            arithmetics = [about["arithmetic"] for about in abouts]
            machine = header(abouts[0], arguments)
            for connection in connections:
                ask(connection, min(WARM_UP, arguments.steps))
            measured = [[] for _ in contenders]
            for k in range(arguments.rounds):
                for connection, blocks in zip(connections, measured, strict=True):
                    blocks.append(ask(connection, arguments.steps))
                print(f"{size} px: round {k + 1} of {arguments.rounds}", file=sys.stderr)
        seconds = [[block[0] for block in blocks] for blocks in measured]
        rows += rows_of(size, contenders, arithmetics, seconds, [blocks[-1][1] for blocks in measured])
        if arguments.csv:  # after each size: a run that is cut short keeps what it measured
            arguments.csv.write_text(as_csv(rows, machine), encoding="utf-8")
    print(machine, end="\n\n" if arguments.markdown else "\n")
    if arguments.markdown:
        print(as_markdown(rows, arguments.device))
    else:
        show(rows, arguments.device)


def size_of(text: str) -> int:
    size = int(text)
    if size < LEAST_SIZE or size % STRIDE:
        raise argparse.ArgumentTypeError(f"{size}: the published network takes multiples of {STRIDE} from {LEAST_SIZE}")
    return size


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: give a whole number of at least 1")
    return number


def parser() -> argparse.ArgumentParser:
    from dip_lab.catalogue import options

    nets = list(options("net"))
    top = argparse.ArgumentParser(description="What a fit costs on this machine.")
    commands = top.add_subparsers(required=True, metavar="command")
    one = commands.add_parser("step", help="one fit step of dip_lab against the textbook loop",
                              formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    one.add_argument("--sizes", type=size_of, nargs="+", default=[64, 128, 256], metavar="PX",
                     help="sides of the square picture; the textbook takes 10 GB at 1024")
    one.add_argument("--steps", type=positive, default=25, metavar="N",
                     help="steps per block; with multiples of log_every (25), each block writes to the history")
    one.add_argument("--rounds", type=positive, default=5, metavar="N", help="blocks of each contender")
    one.add_argument("--loops", nargs="+", default=list(LOOPS), choices=LOOPS, help="which contenders run")
    one.add_argument("--nets", nargs="+", default=["skip"], choices=nets, metavar="NET",
                     help="options of configs/net, each beside the textbook's network")
    one.add_argument("--precision", nargs="+", default=["auto"], choices=["auto", "bf16", "float32"],
                     help="precision of dip_lab and bare")
    one.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where all contenders run")
    one.add_argument("--markdown", action="store_true", help="print Markdown instead of a drawn table")
    one.add_argument("--csv", type=Path, metavar="FILE", help="write the numbers here too")
    one.set_defaults(run=step)
    two = commands.add_parser("nets", help="parameters, GFLOPs, seconds and memory of each generator",
                              formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    two.add_argument("--size", type=positive, default=256, metavar="PX", help="side of the square picture")
    two.add_argument("--nets", nargs="+", choices=nets, metavar="NET", help="options of configs/net; all if not given")
    two.add_argument("--steps", type=positive, default=5, metavar="N", help="timed steps, after 2 untimed ones")
    two.add_argument("--precision", default="auto", choices=["auto", "bf16", "float32"])
    two.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    two.add_argument("--csv", type=Path, metavar="FILE", help="write the numbers here too")
    two.set_defaults(run=lambda arguments: net_costs.run(arguments, processor()))
    three = commands.add_parser("quality", help="seconds to a PSNR, for settings and pictures",
                                description=quality.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    quality.add_arguments(three)
    three.set_defaults(run=lambda arguments: quality.run(arguments, processor()))
    return top


if __name__ == "__main__":
    use_utf8()
    chosen = parser().parse_args()
    chosen.run(chosen)
