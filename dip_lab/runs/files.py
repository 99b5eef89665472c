"""Files that a crash at any moment leaves whole: the old content or the new one, never a part. No torch."""

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old content or the new one, never a part.

    Raises:
        OSError: there is no room, or no permission to write; its `filename` is set.
    """
    try:
        _write_atomic(path, data)
    except OSError as error:
        # The errors of write and fsync do not name the file, and that of mkstemp names a temporary one.
        if error.filename is None or Path(error.filename).name.startswith(f".{path.name}."):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _write_atomic(path: Path, data: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
