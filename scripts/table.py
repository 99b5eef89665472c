"""A published table next to ours, from the result files of an experiment, even if only a part of it has been run:

    python scripts/table.py paper/denoise25                # table.md, table.csv, table.tex in outputs/paper_denoise25
    python scripts/table.py paper/denoise25 seed=0,1,2     # mean and standard deviation over seeds
    python scripts/table.py paper/denoise25 --plan         # what there is to run, and how long it takes here
    python scripts/table.py paper/denoise25 --add          # finished cells into the ledger, docs/published.md

The arguments after the experiment are overrides, the same as those that it was run with.
"""

import argparse
import hashlib
import json
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab

from omegaconf import DictConfig, OmegaConf  # noqa: E402

from dip_lab.checks import one_line  # noqa: E402
from dip_lab.compose import cell_at, cells_of, resolved, without_hydra  # noqa: E402
from dip_lab.mistakes import MISTAKES, explained  # noqa: E402
from dip_lab.runs.files import write_json, write_text  # noqa: E402
from dip_lab.spelling import own_configs  # noqa: E402
from dip_lab.tables import ledger  # noqa: E402
from dip_lab.tables.paper_table import Planned, as_csv, as_latex, as_markdown, entries, planned  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402

DOCS = Path(__file__).parents[1] / "docs"
ENOUGH = 2.0  # seconds of steps that one measurement takes, after a step to warm up
MOST = 50  # steps of one measurement


def write_table(cells: list[Planned]) -> None:
    """The table in three formats next to the cells, and on the terminal."""
    listed = entries(cells)
    folder = cells[0].folder.parent
    for extension, form in (("md", as_markdown), ("csv", as_csv), ("tex", as_latex)):
        write_text(folder / f"table.{extension}", form(listed))
    print(as_markdown(listed))
    states = [cell.status for cell in cells]
    print(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)), "->", folder / "table.md")


def add_to_ledger(cells: list[Planned], experiment: str, because: str | None) -> None:
    """Finished cells into docs/published, and the page that is made of it."""
    written = ledger.add(cells, experiment, DOCS / "published", because)
    write_text(DOCS / "published.md", ledger.page(DOCS / "published"))
    print(f"{len(written)} cells added -> {DOCS / 'published.md'}")


def plan(cells: list[Planned], configs: list[DictConfig]) -> None:
    """Print the cells, the iterations that are left, the seconds per iteration here, and the hours that are left.

    What has been measured on this machine before is not measured again.

    Raises:
        ValueError: a picture is not here and cannot be downloaded. That is found out before anything is measured.
    """
    sizes: dict[str, int] = {}
    kinds = [None if cfg.baseline or cell.status == "done" else kind_of(cfg, sizes)
             for cell, cfg in zip(cells, configs, strict=True)]
    if different := set(filter(None, kinds)):
        from dip_lab import machine

        machine.tune_allocator()  # as run.py does; with its threads, two fits at once do not wait for each other
        machine.use_threads(configs[0].threads)
    paces = Paces()
    kept = len(different & set(paces.known))
    total = 0.0
    print(f"{'cell':<52} {'status':<12} {'iterations':>10} {'s/iteration':>12} {'hours':>7}")
    for cell, cfg, kind in zip(cells, configs, kinds, strict=True):
        if cfg.baseline:
            print(f"{cell.folder.name:<52} {cell.status:<12} {'baseline':>10}")
            continue
        left = 0 if cell.status == "done" else cfg.iterations * cfg.splits.seeds.count
        if cell.status == "interrupted":
            left -= cell.result.get("iterations") or 0
        pace, hours = "", 0.0
        if kind:
            seconds = paces.of(kind, cfg)
            pace, hours = f"{seconds:.3f}", left * seconds / 3600
        total += hours
        print(f"{cell.folder.name:<52} {cell.status:<12} {left:>10} {pace:>12} {hours:>7.2f}", flush=True)
    print(f"{total:.1f} hours, one cell after the other; {len(different)} kinds of cells, {kept} of "
          f"them measured before (kept in {paces.path})")


class Paces:
    """Seconds of a step of each kind of cell on this machine, kept in the user's cache."""

    def __init__(self) -> None:
        import torch

        from dip_lab.data.registry import cache_folder

        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        self.machine = json.dumps([platform.node(), platform.machine(), gpu, torch.__version__,
                                   torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()])
        self.path = cache_folder() / "paces.json"
        self.known: dict[str, float] = self._read().get(self.machine, {})

    def of(self, kind: str, cfg: DictConfig) -> float:
        """That of a kind; measured, and kept, if it is not known."""
        if kind not in self.known:
            self.known[kind] = seconds_per_iteration(cfg)
            write_json(self.path, {**self._read(), self.machine: self.known})
        return self.known[kind]

    def _read(self) -> dict[str, dict[str, float]]:
        """What is kept; nothing if the file is not there or is damaged."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            return {machine: {kind: float(pace) for kind, pace in paces.items()} for machine, paces in kept.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}


def kind_of(cfg: DictConfig, sizes: dict[str, int]) -> str:
    """What an iteration's time depends on: the pixels of the picture, and everything that makes up a step.

    `sizes` are the pixels of the pictures that were looked at before.

    Raises:
        ValueError: the picture or its observation is not here and cannot be downloaded.
    """
    from dip_lab.build import load_images
    from dip_lab.data.registry import located

    groups = ("net", "latent", "optimizer", "stopping", "average", "regularizer", "precision")
    source = str(cfg.data)
    if source not in sizes:
        sizes[source] = load_images(cfg.data).pixels.numel()
        if cfg.task.observation:
            located(cfg.task.observation, cfg.data.get("root"))
    parts = [str(cfg[group]) for group in groups]
    said = json.dumps([cfg.hydra.runtime.choices.task, *parts, cfg.faithful, sizes[source]])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def seconds_per_iteration(cfg: DictConfig) -> float:
    """Measured in a fit without files, from the end of its first iteration to the end of its last."""
    from pytorch_lightning.callbacks import LambdaCallback

    from dip_lab.experiment import run

    ends: list[float] = []

    def look(trainer, *_) -> None:
        ends.append(time.perf_counter())
        trainer.should_stop |= ends[-1] - ends[0] > ENOUGH

    short = {"iterations": MOST, "splits": {"seeds": {"count": 1}}, "logger": None}
    run(OmegaConf.merge(without_hydra(cfg), short), cell_at(cfg, cfg.hydra, None),
        callbacks=[LambdaCallback(on_train_batch_end=look)])
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a file of configs/experiment, such as paper/denoise25")
    parser.add_argument("--plan", action="store_true", help="what there is to run, and how long it takes here")
    parser.add_argument("--add", action="store_true", help="put the finished cells into the ledger, docs/published.md")
    parser.add_argument("--because", metavar="REASON", help="why --add may replace a cell that is there already")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where the runs are (default: outputs)")
    parser.add_argument("-cd", "--config-dir", help="a folder of your own configs, as that of run.py")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_intermixed_args(arguments)
    overrides = [*own_configs(args.config_dir), f"experiment={args.experiment}", *args.overrides]
    with explained(overrides):
        configs = cells_of(overrides)
    cells = [planned(resolved(cfg), dict(cfg.hydra.runtime.choices), args.outputs / cfg.name)
             for cfg in configs]
    if args.plan:
        plan(cells, configs)
    elif args.add:
        add_to_ledger(cells, args.experiment, args.because)
    else:
        write_table(cells)


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
