"""The cells of a sweep in tables, from their result files:

    python scripts/compare.py outputs/architectures                     # summary.csv, summary.md, as a sweep does
    python scripts/compare.py outputs/mine --pivot net seed --score ssim   # mean ± deviation over seeds
    python scripts/compare.py outputs/mine --where net=skip,unet --where 'psnr>25' --sort seconds --latex
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab

from dip_lab.checks import one_line  # noqa: E402
from dip_lab.mistakes import MISTAKES  # noqa: E402
from dip_lab.sweep import print_summary, summarise  # noqa: E402
from dip_lab.tables import compare, grid  # noqa: E402
from dip_lab.tables.cells import read_cells  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", type=Path, help="the folder of a sweep, outputs/<name>")
    parser.add_argument("--pivot", nargs=2, metavar=("ROWS", "COLUMNS"), help="the means by two keys")
    parser.add_argument("--score", default="psnr", help="what the pivot shows (default: psnr)")
    parser.add_argument("--where", action="append", default=[], help="net=skip,unet or 'psnr>25'; repeatable")
    parser.add_argument("--sort", help="the key to sort by: a score with the best first, any other key ascending")
    parser.add_argument("--latex", action="store_true", help="print a LaTeX table")
    args = parser.parse_args(arguments)
    cells = read_cells(args.group)
    if not (args.pivot or args.where or args.sort or args.latex):
        print_summary(args.group)
        summarise(args.group)
        print("->", args.group / "summary.csv", args.group / "summary.md")
        return
    for condition in args.where:
        cells = compare.where(cells, condition)
    if not cells:
        raise ValueError(f"--where {' '.join(args.where)}: no such cell in {args.group}")
    if args.sort:
        cells = compare.ordered(cells, args.sort)
    table = compare.pivot(cells, *args.pivot, args.score) if args.pivot else compare.short_list(cells)
    print(grid.as_latex(*table) if args.latex else grid.as_text(*table), end="")


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
