"""Download data sets in advance, for a machine without a network:

    python scripts/fetch_data.py                         # which sets there are, and how much of each is here
    python scripts/fetch_data.py denoise9 paper/denoise25   # whole folders of the registry

Files that are already here, in the folder of the variable DIP_LAB_DATA or in the cache, are not fetched again.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab

from dip_lab.checks import one_line  # noqa: E402
from dip_lab.data.registry import cache_folder, local, located, registry  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402


def folders() -> dict[str, list[str]]:
    """Folder -> its files."""
    found: dict[str, list[str]] = {}
    for file in registry():
        found.setdefault(str(Path(file).parent), []).append(file)
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="folder")
    wanted, known = parser.parse_args(arguments).folders, folders()
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such folder; there are {', '.join(known)}")
    for folder in wanted:
        for file in known[folder]:
            located(file)
    for folder in wanted or known:
        here = sum(local(file) is not None or (cache_folder() / file).is_file() for file in known[folder])
        print(f"{folder:<30} {here} of {len(known[folder])} here")


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except ValueError as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
