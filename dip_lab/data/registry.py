"""The files of the public data sets: where each is on this machine, or where it is downloaded from. No torch."""

import contextlib
import csv
import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from dip_lab.data.listing import pictures_in

TRIES = 3  # of one download
LOSSLESS = (".png", ".bmp", ".tif")
OWN = "dip_lab/"  # how the paths of files begin that come with this package


@dataclass(frozen=True)
class PublicFile:
    """One row of registry.csv: a file, the digest that it must have, and its public address."""

    file: str
    sha256: str
    url: str


@cache
def registry() -> dict[str, PublicFile]:
    """All entries by their file, such as `denoise9/House.png`."""
    with open(Path(__file__).with_name("registry.csv"), encoding="utf-8", newline="") as file:
        return {row["file"]: PublicFile(**row) for row in csv.DictReader(file)}


def roots(root: str | None) -> list[Path]:
    """Folders in which a person keeps data sets: `root`, then that of the variable DIP_LAB_DATA."""
    named = [root, os.environ.get("DIP_LAB_DATA")]
    return [Path(os.path.expanduser(folder)) for folder in named if folder]


def cache_folder() -> Path:
    """Where downloads are kept."""
    return Path(platformdirs.user_cache_dir("dip_lab"))


def local(path: str, root: str | None = None) -> Path | None:
    """The file that a person means by `path`, if they have it: relative to here, or to one of `roots`.

    A file of the registry is looked for in `roots` first. Any lossless extension will do, since some files were
    published as BMP and copied as PNG. A file `dip_lab/...` may also be the one that comes with this package.
    """
    registered, here = path in registry(), Path()
    own = [Path(__file__).parents[2]] if path.startswith(OWN) else []
    for folder in [*roots(root), here] if registered else [here, *roots(root), *own]:
        named = folder / os.path.expanduser(path)
        for candidate in [named, *(named.with_suffix(suffix) for suffix in LOSSLESS if registered)]:
            if os.path.isfile(candidate):  # Path's own raises for a name that is too long
                return candidate
    return None


def located(path: str, root: str | None = None) -> Path:
    """As `local`; a file of the registry that is not there is downloaded. Any other path stays as it was typed.

    Raises:
        ValueError: it cannot be downloaded; the message says what to fetch and where to put it.
    """
    found = local(path, root)
    if found is None and path in registry():
        return download(registry()[path], root)
    return found or Path(path)


def download(entry: PublicFile, root: str | None = None) -> Path:
    """The file in the cache; fetched if it is not there, or not as registered.

    It gets its name only when it is complete and correct. A broken download of a file starts again at its first byte,
    since the largest has 1.2 MB. That of a set is continued: files that are complete are not fetched again.
    """
    import pooch
    from tqdm import tqdm

    fetcher = pooch.create(cache_folder(), base_url="", registry={entry.file: f"sha256:{entry.sha256}"},
                           urls={entry.file: entry.url}, retry_if_failed=TRIES - 1)
    pooch.get_logger().setLevel("WARNING")
    try:
        (cache_folder() / entry.file).parent.mkdir(parents=True, exist_ok=True)  # pooch's fails if two run at once
        # total=1: an empty bar is false, and pooch tests for that; disable=None: no bar without a terminal
        with tqdm(desc=entry.file, total=1, unit="B", unit_scale=True, leave=False, disable=None) as bar:
            return Path(fetcher.fetch(entry.file, downloader=pooch.HTTPDownloader(progressbar=bar, timeout=30)))
    except (OSError, ValueError) as error:  # errors of requests are OSErrors; pooch's ValueError means another digest
        reason = "the file there is not the one that was registered"
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
        place = [*roots(root), cache_folder()][0]
        raise ValueError(f"{entry.file} cannot be downloaded ({reason}): fetch {entry.url} and save it as "
                         f"{place / entry.file} (the variable DIP_LAB_DATA names another folder)") from error


def digest(path: str, root: str | None = None) -> str | None:
    """The SHA-256 of a file as `local` finds it, or else as it is registered; None: there is no such file."""
    found = local(path, root)
    if found is not None:
        stat = found.stat()
        return _content(found.absolute(), stat.st_mtime_ns, stat.st_size)
    return registry()[path].sha256 if path in registry() else None


@cache
def _content(path: Path, time: int, size: int) -> str:
    """The SHA-256 of a file, read once as long as its time and size stay the same."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures_of(folders: list[str], root: str | None = None) -> dict[str, str]:
    """Name -> file of a set's pictures: those of the registry, and others that are next to them in `roots`.

    A mask (`vase_mask`) is not a picture of the set; of two with one name, that of the first folder counts.
    """
    found: dict[str, str] = {}
    for folder in folders:
        files = [file for file in registry() if Path(file).parent == Path(folder)]
        for place in roots(root):
            with contextlib.suppress(ValueError):  # no such folder there, or no picture in it
                files += [str(place / folder / name) for name in pictures_in(place / folder)]
        for file in files:
            if not Path(file).stem.endswith("_mask"):
                found.setdefault(Path(file).stem, file)
    return found
