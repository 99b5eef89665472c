"""Standard output and error whose reader may go away. No torch."""

import io
import sys


class _Patient(io.FileIO):
    """What nobody reads any more is dropped: `run.py | head -1` ends neither a fit nor with a traceback."""

    def write(self, data: bytes) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def keep_open() -> None:
    """Let this process go on when a reader of its output ends; streams that somebody has replaced are left alone."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            raw = io.BufferedWriter(_Patient(stream.fileno(), "w", closefd=False))
            stream.flush()
            patient = io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=stream.line_buffering,
                                       write_through=stream.write_through)
            setattr(sys, name, patient)
