"""Files that a crash at any moment leaves whole: the old content or the new one, never a part. No torch."""

import contextlib
import fcntl
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

TEMPORARY = ".dip_lab-"  # how the names begin of files that are being written


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old content or the new one, never a part.

    Raises:
        OSError: there is no room, or no permission to write; its `filename` is set.
    """
    try:
        with appearing(path) as file:
            file.write(data)
    except OSError as error:
        # The errors of write and fsync do not name the file, and that of mkstemp names a temporary one.
        if error.filename is None or Path(error.filename).name.startswith(TEMPORARY):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file next to `path` to write to, under its `name` if need be; it becomes `path` when all is written.

    What processes that died were writing in that folder is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    with _temporary(path.parent) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _temporary(folder: Path) -> IO[bytes]:
    """A new file that is locked as long as it is open, where the file system has locks."""
    while True:
        file = tempfile.NamedTemporaryFile(dir=folder, prefix=TEMPORARY, delete=False)
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # else another process has found it before it was locked
            return file
        file.close()


def remove_abandoned(folder: Path) -> None:
    """Remove what was being written in a folder by processes that died; what is being written is locked."""
    with contextlib.suppress(OSError):  # such as a folder that cannot be read
        for path in folder.glob(f"{TEMPORARY}*"):
            with contextlib.suppress(OSError), open(path, "rb+", opener=no_link) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def no_link(path: str | Path, flags: int) -> int:
    """An `opener` for a file with a name that others know: a link there would lead to another file, a pipe block."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8; a byte of a file's name that is not UTF-8 becomes `?`."""
    renew(path, text.encode(errors="replace"))


def renew(path: Path, data: bytes) -> None:
    """Write a file unless it already holds just this: the folder may be read-only."""
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)


def from_here(path: Path) -> Path:
    """The path as a person in the current folder would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file; numbers that JSON does not know (NaN, infinity) become null."""
    write_atomic(path, (json.dumps(_finite(content), indent=2, allow_nan=False) + "\n").encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
