"""Which pictures a folder holds. Free of torch: the command line expands `-m data=folder` with it."""

import os
from pathlib import Path

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def pictures_in(folder: str | Path) -> list[str]:
    """Sorted names of the files with a picture's extension, in upper or lower case.

    Subfolders (even if called x.png), hidden files and all others are left out.

    Raises:
        ValueError: no such folder, or no picture in it.
    """
    folder = Path(os.path.expanduser(folder))
    if not folder.is_dir():
        what = "is a file, not a folder: use data=file" if folder.is_file() else "is not a folder"
        raise ValueError(f"data.path: {folder} {what} (relative paths start at {Path.cwd()})")
    try:
        names = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith(".") and entry.is_file()
        )
    except OSError as error:
        raise ValueError(f"data.path: {folder} cannot be listed ({error.strerror})") from error
    if not names:
        raise ValueError(f"data.path: no picture in {folder}; looked for {' '.join(EXTENSIONS)}")
    return names


def picked(names: list[str], name: str, where: str) -> str:
    """The file name in `names` that equals `name`, or else the only one whose stem does.

    Raises:
        ValueError: none or several fit; the message lists them. `where` is the folder.
    """
    if name in names:
        return name
    found = [candidate for candidate in names if Path(candidate).stem == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"data.name={name} fits {', '.join(found)} in {where}: give the extension too")
    raise ValueError(f"data.name={name}: no such picture in {where}; there are {some_of(names, 40)}")


def of_set(names: list[str], name: object) -> str:
    """The `name` of a picture of a data set, as text: the command line reads data.name=101085 as a number.

    Raises:
        ValueError: there is none, or no such picture; the message lists `names`.
    """
    if name is None:
        raise ValueError(f"data.name is missing: pick one with data.name=..., or all with -m data.name='glob(*)'; "
                         f"there are {some_of(names, 40)}")
    if str(name) not in names:
        raise ValueError(f"data.name={name}: no such picture in this set; there are {some_of(names, 40)}")
    return str(name)


def some_of(names: list[str], count: int) -> str:
    """The first `count` names, and how many more there are.

    >>> some_of(["a.png", "b.png", "c.png"], 2)
    'a.png, b.png and 1 more'
    """
    rest = len(names) - count
    return ", ".join(names[:count]) + (f" and {rest} more" if rest > 0 else "")
