"""The report of a sweep: one page with its table, pictures, curves and errors, that opens from disk:

    python scripts/report.py outputs/architectures              # writes outputs/architectures/report.html
    python scripts/report.py outputs/architectures --watch      # and again every few seconds, until Ctrl-C

The page needs no network. In its folder it links to the pictures in full size; elsewhere it has only small copies.
"""

import argparse
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab

from dip_lab.checks import one_line  # noqa: E402
from dip_lab.mistakes import MISTAKES  # noqa: E402
from dip_lab.tables.album import Album  # noqa: E402
from dip_lab.tables.report import size_of, watch_report, write_report  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402

EVERY = 5.0  # seconds


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a group's folder, outputs/<name>")
    parser.add_argument("--watch", type=seconds, nargs="?", const=EVERY, metavar="SECONDS",
                        help=f"write it again while cells are running (default: every {EVERY:g} s), until Ctrl-C")
    args = parser.parse_args(arguments)
    album = Album()
    if args.watch is not None:
        watch(args.folder, args.watch, album)
    print(size_of(write_report(args.folder, album=album)))


def watch(folder: Path, every: float, album: Album) -> None:
    """Print a line each time that the page is written; Ctrl-C ends it and is not an error."""
    with contextlib.suppress(KeyboardInterrupt):
        for line in watch_report(folder, every, album):
            print(line, flush=True)
    print()  # after the terminal's ^C


def seconds(said: str) -> float:
    if not (value := float(said)) >= 0.1:
        raise argparse.ArgumentTypeError(f"{said}: give at least 0.1 seconds")
    return value


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
