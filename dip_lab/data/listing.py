"""Which pictures a folder holds. Free of torch and Pillow: the command line expands `-m data=folder` with it."""

import functools
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)
# The formats that are opened, by Pillow's names, with all the extensions that Pillow knows for each. Its reader of JPEG
# also opens MPO, a phone's JPEG with more pictures behind it.
FORMATS = {
    "PNG": (".png", ".apng"), "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "WEBP": (".webp",),
    "BMP": (".bmp",), "DIB": (".dib",), "TIFF": (".tif", ".tiff"), "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), "AVIF": (".avif", ".avifs"),
}
EXTENSIONS = tuple(sorted(extension for extensions in FORMATS.values() for extension in extensions))


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
    names = [name for name in _files_in(folder) if _is_picture(name)]
    if not names:
        raise ValueError(f"data.path: no picture in {folder}; looked for {' '.join(EXTENSIONS)}")
    return names


def all_pictures_in(folder: str | Path) -> list[str]:
    """As `pictures_in`, for a folder that a person means as a whole: one line in the log says what is left out."""
    names = pictures_in(folder)
    folder = Path(os.path.expanduser(folder))
    _say_left_out(folder, tuple(name for name in _files_in(folder) if not _is_picture(name)))
    return names


@functools.cache  # once, however often the folder is looked at
def _say_left_out(folder: Path, names: tuple[str, ...]) -> None:
    if names:
        what = "1 file is no picture" if len(names) == 1 else f"{len(names)} files are no pictures"
        log.warning("%s: %s that can be read, and left out: %s", folder, what, some_of(list(names), 3))


def _files_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())
    except OSError as error:
        raise ValueError(f"data.path: {folder} cannot be listed ({error.strerror})") from error


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS


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
        ValueError: there is none, or no such picture; the message lists `names`. Or the set has no pictures here.
    """
    if not names:
        raise ValueError(f"data.name={name}: no picture of this set is here: give the folder of your data sets as "
                         "data.root=... or in the variable DIP_LAB_DATA")
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
