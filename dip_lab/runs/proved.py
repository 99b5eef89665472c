"""Files that prove their own content, so that a flipped bit is noticed and not computed with. No torch.

A trailer follows the content: its SHA-256, then a mark. `torch.load` and `numpy.load` do not look behind what they
read, so the file stays an ordinary one for everybody else. It is one file, written at once: a crash leaves none half
proved.
"""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dip_lab.runs.files import write_atomic

MARK = b"dip_lab sha256 1"
TRAILER = hashlib.sha256().digest_size + len(MARK)  # bytes
BLOCK = 1 << 20


class Unproved(ValueError):
    """The file has no digest: another program has written it, or an earlier version of this one."""


class Damaged(ValueError):
    """The file is not what was written."""


def write_proved(path: Path, save: Callable[[IO[bytes]], None]) -> None:
    """Write what `save` puts into a file, and its digest.

    Raises:
        OSError: as `write_atomic`.
    """
    buffer = io.BytesIO()
    save(buffer)
    with buffer.getbuffer() as content:
        digest = hashlib.sha256(content).digest()
    buffer.seek(0, io.SEEK_END)
    buffer.write(digest + MARK)
    write_atomic(path, buffer.getbuffer())


def prove(path: Path) -> None:
    """Return if the file is bit for bit what `write_proved` has written; read block by block.

    Raises:
        Unproved: it has no digest.
        Damaged: it has another one.
        OSError: there is no such file, or it cannot be read.
    """
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size - TRAILER
        if left < 0:
            raise Unproved("it has no digest")
        digest = hashlib.sha256()
        while left and (block := file.read(min(left, BLOCK))):
            digest.update(block)
            left -= len(block)
        trailer = file.read()
    is_marked, is_equal = trailer.endswith(MARK), trailer.startswith(digest.digest())
    if not is_marked and not is_equal:
        raise Unproved("it has no digest")
    if not (is_marked and is_equal):  # also where a bit of the mark has changed
        raise Damaged("it is damaged: its digest is another one")
