"""A published table next to ours, from the result files of an experiment, even if only a part of it has been run:

    python scripts/table.py paper/denoise25                # table.md, table.csv, table.tex in outputs/paper_denoise25
    python scripts/table.py paper/denoise25 seed=0,1,2     # mean and standard deviation over seeds
    python scripts/table.py paper/denoise25 --plan         # what there is to run, and how long it takes here

The arguments after the experiment are overrides, the same as those that it was run with.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab

from omegaconf import DictConfig, OmegaConf  # noqa: E402

from dip_lab.checks import one_line  # noqa: E402
from dip_lab.compose import cell_at, cells_of, resolved, without_hydra  # noqa: E402
from dip_lab.mistakes import MISTAKES, explained  # noqa: E402
from dip_lab.runs.files import write_text  # noqa: E402
from dip_lab.spelling import own_configs  # noqa: E402
from dip_lab.tables.paper_table import Planned, as_csv, as_latex, as_markdown, entries, planned  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402

MEASURED = 5  # iterations, after two to warm up


def write_table(cells: list[Planned]) -> None:
    """The table in three formats next to the cells, and on the terminal."""
    listed = entries(cells)
    folder = cells[0].folder.parent
    for extension, form in (("md", as_markdown), ("csv", as_csv), ("tex", as_latex)):
        write_text(folder / f"table.{extension}", form(listed))
    print(as_markdown(listed))
    states = [cell.status for cell in cells]
    print(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)), "->", folder / "table.md")


def plan(cells: list[Planned], configs: list[DictConfig]) -> None:
    """Print the cells, the iterations that are left, the seconds per iteration here, and the hours that are left."""
    measured: dict[tuple, float] = {}
    total = 0.0
    print(f"{'cell':<52} {'status':<12} {'iterations':>10} {'s/iteration':>12} {'hours':>7}")
    for cell, cfg in zip(cells, configs, strict=True):
        if cfg.baseline:
            print(f"{cell.folder.name:<52} {cell.status:<12} {'baseline':>10}")
            continue
        kind = kind_of(cfg)
        left = 0 if cell.status == "done" else cfg.iterations * cfg.splits.seeds.count
        if cell.status == "interrupted":
            left -= cell.result.get("iterations") or 0
        if left and kind not in measured:
            measured[kind] = seconds_per_iteration(cfg)
        hours = left * measured.get(kind, 0) / 3600
        total += hours
        pace = f"{measured[kind]:.3f}" if kind in measured else ""
        print(f"{cell.folder.name:<52} {cell.status:<12} {left:>10} {pace:>12} {hours:>7.2f}", flush=True)
    print(f"{total:.1f} hours, one cell after the other; measured over {MEASURED} iterations of each kind of cell")


def kind_of(cfg: DictConfig) -> tuple:
    """What an iteration's time depends on: the picture's size, and everything that makes up a step."""
    from dip_lab.build import load_images

    groups = ("net", "latent", "optimizer", "stopping", "average", "regularizer", "precision")
    return (cfg.hydra.runtime.choices.task, *(str(cfg[group]) for group in groups), load_images(cfg.data).pixels.shape)


def seconds_per_iteration(cfg: DictConfig) -> float:
    """Measured in a fit without files, from the end of its second iteration to the end of its last."""
    from pytorch_lightning.callbacks import LambdaCallback

    from dip_lab.experiment import run

    ends: list[float] = []
    clock = LambdaCallback(on_train_batch_end=lambda *_: ends.append(time.perf_counter()))
    short = {"iterations": 2 + MEASURED, "splits": {"seeds": {"count": 1}}, "logger": None}
    run(OmegaConf.merge(without_hydra(cfg), short), cell_at(cfg, cfg.hydra, None), callbacks=[clock])
    return (ends[-1] - ends[1]) / MEASURED


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a file of configs/experiment, such as paper/denoise25")
    parser.add_argument("--plan", action="store_true", help="what there is to run, and how long it takes here")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where the runs are (default: outputs)")
    parser.add_argument("-cd", "--config-dir", help="a folder of your own configs, as that of run.py")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_intermixed_args(arguments)
    overrides = [*own_configs(args.config_dir), f"experiment={args.experiment}", *args.overrides]
    with explained(overrides):
        configs = cells_of(overrides)
    cells = [planned(resolved(cfg), dict(cfg.hydra.runtime.choices), args.outputs / cfg.name)
             for cfg in configs]
    plan(cells, configs) if args.plan else write_table(cells)


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
