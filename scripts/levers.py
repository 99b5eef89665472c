"""What each setting of a sweep was worth: seconds to the PSNR of a reference, and the PSNR of the answers.

    python run.py experiment=ablation/default data.root=...            # the sweep; run it again to continue it
    python scripts/levers.py outputs/ablation_default --time           # seconds of a step, in both kinds of processor
    python scripts/levers.py outputs/ablation_default --problems 'House, sigma 25' --reference 'net=skip_narrow'
    python scripts/levers.py outputs/ablation_default --versus 'net=skip_narrow' '(none)'

A setting is what the command of a cell says about the fit; its seconds are its iterations times the seconds of a step
on an idle machine, which `--time` writes to steps.json in the sweep's folder. There the settings take turns, in a
process for each kind of processor (worlds.py).
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # the checkout's dip_lab; net_costs
from worlds import WORLDS, inside  # noqa: E402

from dip_lab.checks import number, one_line  # noqa: E402
from dip_lab.mistakes import MISTAKES  # noqa: E402
from dip_lab.results.png import figure_png  # noqa: E402
from dip_lab.runs.files import write_atomic, write_json  # noqa: E402
from dip_lab.runs.folder import read_result  # noqa: E402
from dip_lab.tables.levers import frontier_figure, levers_table, setting_of, tries_of, versus_table  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402

STEPS = "steps.json"
ROUNDS, BLOCK, WARM_UP = 5, 4, 3


def timed(group: Path, size: int) -> dict[str, float]:
    """{setting: seconds of a step on a picture of this size}, medians of blocks in turn."""
    from net_costs import bare_step
    from omegaconf import OmegaConf

    from dip_lab.machine import tune_allocator

    tune_allocator()
    steps = {}
    for path in sorted(group.glob("*/result.json")):
        result = read_result(path.parent) or {}
        if result.get("status") == "done" and result.get("task") == "denoise" and setting_of(result) not in steps:
            try:
                _, steps[setting_of(result)] = bare_step(OmegaConf.create(result.get("config", {})), size, "cpu")
            except (AttributeError, KeyError, TypeError) as error:
                raise ValueError(f"{path}: its config cannot be built: {one_line(error)}") from error
    for step in steps.values():
        for iteration in range(1, WARM_UP + 1):
            step(iteration)
    seconds = {setting: [] for setting in steps}
    for turn in range(ROUNDS):
        for setting, step in steps.items():
            started = time.perf_counter()
            for k in range(BLOCK):
                step(WARM_UP + 1 + turn * BLOCK + k)
            seconds[setting].append((time.perf_counter() - started) / BLOCK)
    return {setting: statistics.median(values) for setting, values in seconds.items()}


def read_steps(path: Path) -> dict[str, dict[str, float]]:
    """{kind of processor: {setting: seconds of a step}}, as --time has written it.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        return {world: {setting: number("seconds", value, 0, above=True) for setting, value in times.items()}
                for world, times in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, RecursionError, AttributeError) as error:
        raise ValueError(f"{path}: is not what --time has written: measure again with --time") from error


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", type=Path, help="the folder of the sweep")
    parser.add_argument("--time", action="store_true", help="measure the seconds of a step")
    parser.add_argument("--size", type=int, default=256, help="side of the picture that is timed, px")
    parser.add_argument("--problems", nargs="+", metavar="TEXT", help="only these, such as 'House, sigma 25'")
    parser.add_argument("--reference", help="the setting whose PSNR is to be reached")
    parser.add_argument("--versus", nargs=2, metavar=("OLD", "NEW"), help="two settings, problem by problem")
    parser.add_argument("--figure", nargs="+", metavar="SETTING::NAME",
                        help="draw PSNR against seconds, and name these")
    args = parser.parse_args(arguments)
    if args.time:
        found = {}
        for world in WORLDS:
            with inside(world), multiprocessing.get_context("spawn").Pool(1) as pool:
                found[world] = pool.apply(timed, (args.group, args.size))
        write_json(args.group / STEPS, found)
    path = args.group / STEPS
    steps, tries = read_steps(path) if path.exists() else {}, tries_of(args.group)
    tries = [each for each in tries if not args.problems or each.problem in args.problems]
    if args.reference:
        print(levers_table(tries, args.reference, steps))
    if args.versus:
        print(versus_table(tries, *args.versus, steps))
    if args.figure and not steps:
        raise ValueError(f"{path}: not there: --time measures the seconds that the figure needs")
    if args.figure:
        named = dict(each.split("::") for each in args.figure)
        out = args.group / "levers.png"
        write_atomic(out, figure_png(frontier_figure(tries, next(iter(steps.values())), named), dpi=110))
        print(out)


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
