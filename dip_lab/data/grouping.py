"""Which files of a folder belong together, by their names. Free of torch, for the command line."""

import re
from collections import defaultdict
from pathlib import Path

from dip_lab.data.listing import all_pictures_in


def groups_in(folder: str | Path, separators: str) -> dict[str, list[str]]:
    """{name: its files, sorted} for the groups of two or more pictures in a folder.

    Of the separators, the first that the stem holds counts: the group's name is what comes before its last occurrence.
    In a stem without separators, it is what comes before the trailing digits. With "_-", Camp_IR.png and Camp_Vis.png
    are "Camp", 010_CT.tif and 010_MR-T2.tif "010", lytro-01-A.jpg and lytro-01-B.jpg "lytro-01", door1.jpg to door5.jpg
    "door".

    Raises:
        ValueError: no such folder, or no group in it.
    """
    groups = defaultdict(list)
    for file in all_pictures_in(folder):
        groups[group_of(Path(file).stem, separators)].append(file)
    groups = {name: files for name, files in groups.items() if len(files) > 1}
    if not groups:
        raise ValueError(f"data.path: no two pictures in {folder} share a name before one of {separators} or digits: "
                         "use data=sources data.paths=[a.png,b.png]")
    return groups


def group_of(stem: str, separators: str) -> str:
    """The name of a file's group.

    >>> group_of("010_MR-T2", "_-"), group_of("lytro-01-A", "_-"), group_of("door1", "_-")
    ('010', 'lytro-01', 'door')
    """
    for separator in separators:
        before = stem.rpartition(separator)[0]
        if before:
            return before
    return re.sub(r"\d+$", "", stem) or stem
