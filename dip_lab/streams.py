"""Standard output and error whose reader may go away, and a log on a disk that may be full. No torch."""

import io
import logging
import sys

from dip_lab.runs.files import no_link


class _Patient(io.FileIO):
    """What nobody reads any more, or has no room, is dropped: `run.py | head -1` ends neither a fit nor with a
    traceback."""

    def write(self, data: bytes) -> int:
        try:
            return super().write(data)
        except OSError:  # also of a file on a full disk
            return len(data)


def keep_open() -> None:
    """Let this process go on when a reader of its output ends; streams that somebody has replaced are left alone.

    A log that cannot be written, as on a full disk, is passed over as well: logging would print a traceback.
    """
    logging.raiseExceptions = False
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            raw = io.BufferedWriter(_Patient(stream.fileno(), "w", closefd=False))
            stream.flush()
            patient = io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=stream.line_buffering,
                                       write_through=stream.write_through)
            setattr(sys, name, patient)


class LogFile(logging.FileHandler):
    """A file that is not written through a link."""

    def _open(self) -> io.TextIOWrapper:
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=no_link)
