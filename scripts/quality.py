"""Seconds to a PSNR: `python scripts/benchmark.py quality --pictures House.png --settings new= old=net=skip_narrow`.

Each setting fits each picture, in each kind of processor (worlds.py), in a process of its own. The processes take turns
of some steps, so that one computes at a time and all see the same machine; only their own turns count. The PSNR to
reach is that of the first setting's answer less 0.1 dB, on the same processor, or what --psnr says. Starting Python
and importing torch, some 5 seconds, do not count.
"""

import argparse
import itertools
import logging
import multiprocessing
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from worlds import WORLDS, inside

from dip_lab.tables.grid import as_markdown

TURN = 10  # steps
MARGIN = 0.1  # dB


@dataclass
class Run:
    """One fit: who it is, and what it has sent so far."""

    picture: str
    setting: str
    world: str
    connection: Connection
    seconds: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)  # (seconds, PSNR of the average)
    summary: dict[str, Any] | None = None

    def turn(self) -> None:
        """Let it compute some steps, and note where it is."""
        self.connection.send(None)
        content = self.connection.recv()
        if isinstance(content, str):
            raise SystemExit(content)
        if isinstance(content, dict):
            self.summary = content
            return
        seconds, psnr = content
        self.seconds += seconds
        self.curve.append((self.seconds, psnr))

    def reached(self, psnr: float) -> float | None:
        return next((seconds for seconds, value in self.curve if value >= psnr), None)


def fit(connection: Connection, picture: str, overrides: Sequence[str]) -> None:
    """The worker: a whole fit by dip_lab, held after each turn; sends its summary at the end."""
    try:
        connection.send(_fitted(connection, picture, overrides))
    except Exception:
        connection.send(traceback.format_exc())


def _fitted(connection: Connection, picture: str, overrides: Sequence[str]) -> dict[str, Any]:
    import pytorch_lightning as pl
    import torch

    from dip_lab.compose import cell_at, compose, without_hydra
    from dip_lab.experiment import run
    from dip_lab.machine import tune_allocator
    from dip_lab.metrics import psnr

    logging.disable(logging.INFO)
    tune_allocator()

    class Hold(pl.Callback):
        def on_train_start(self, trainer, module) -> None:
            connection.recv()
            self.started = time.perf_counter()

        def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
            if iteration % TURN == 0:
                seconds, average = time.perf_counter() - self.started, module.average.image
                with torch.no_grad():
                    value = psnr(module.output if average is None else average, module.problem.target)
                connection.send((seconds, float(value)))
                connection.recv()
                self.started = time.perf_counter()

    cfg = compose(["data=file", f"data.path={picture}", "data.clean=true", "logger=none", *overrides])
    plain = without_hydra(cfg)
    summary = run(plain, cell_at(plain, cfg.hydra, None), None, [Hold()]).summary
    return {key: summary[key] for key in ("psnr", "ssim", "iterations", "stop_reason")}


def started(picture: Path, settings: Sequence[str], worlds: Sequence[str]) -> list[Run]:
    """One waiting process for each setting and kind of processor."""
    context, runs = multiprocessing.get_context("spawn"), []
    for setting, world in itertools.product(settings, worlds):
        name, _, overrides = setting.partition("=")
        mine, theirs = context.Pipe()
        with inside(world):
            context.Process(target=fit, args=(theirs, str(picture), overrides.split()), daemon=True).start()
        runs.append(Run(picture.stem, name, world, mine))
    return runs


def run(arguments: argparse.Namespace, machine: str) -> None:
    """The subcommand `quality`: prints a line for each fit that ends, and at last a table."""
    lines = []
    for picture in arguments.pictures:  # those of one picture take turns: fewer processes in memory
        runs = started(picture, arguments.settings, arguments.worlds)
        while running := [each for each in runs if each.summary is None]:
            for each in running:
                each.turn()
                if each.summary:
                    print(f"{each.picture}, {each.setting}, {each.world}: {each.summary['psnr']:.2f} dB after "
                          f"{each.seconds:.0f} s", file=sys.stderr)
        lines += lines_of(runs, arguments.psnr)
    header = ["picture", "setting", "processor", "seconds to reach", "seconds in all", "iterations", "answer, dB",
              "SSIM", "ended by"]
    table = as_markdown(header, lines)
    print(f"{machine}\n\n{table}")
    if arguments.out:
        arguments.out.write_text(table, encoding="utf-8")


def lines_of(runs: Sequence[Run], psnr: float | None) -> list[list[str]]:
    """One line for each run of a picture; the first setting's answer on a processor is the goal there."""
    lines = []
    for each in runs:
        first = next(other for other in runs if other.world == each.world)
        goal = first.summary["psnr"] - MARGIN if psnr is None else psnr
        reached, ended = each.reached(goal), each.summary["stop_reason"]
        lines.append([each.picture, each.setting, each.world,
                      f"never {goal:.2f} dB" if reached is None else f"{reached:.0f} to {goal:.2f} dB",
                      f"{each.seconds:.0f}", str(each.summary["iterations"]), f"{each.summary['psnr']:.2f}",
                      f"{each.summary['ssim']:.3f}", ended])
    return lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="files, fitted whole")
    parser.add_argument("--settings", nargs="+", required=True, metavar="NAME=OVERRIDES",
                        help="such as fast= or 'until now=net=skip_narrow iterations=2000'")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS), help="kinds of processor")
    parser.add_argument("--psnr", type=float, help="the PSNR to reach, dB; else the first setting's less 0.1")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table here too")
