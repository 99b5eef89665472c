"""Ctrl-C from the program's first line to its last. Standard library only."""

import contextlib
import signal
from collections.abc import Callable, Iterator

came = False  # also where a library has swallowed the KeyboardInterrupt, as imports do


def quiet() -> None:
    """Let Ctrl-C end the process at once, as other programs do: for imports, where Python would show a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Inside, the first Ctrl-C raises KeyboardInterrupt and is noted in `came`; the second ends the process at once."""
    global came
    came, before = False, signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def exit_code(program: Callable[[], int]) -> int:
    """The exit code of a command line: what it returns or raises, and 130 after Ctrl-C."""
    with raised():
        try:
            code = program()
        except SystemExit as ended:
            code = ended.code
        except KeyboardInterrupt:
            code = 130
        return 130 if came else code


def _raise(number: int, frame: object) -> None:
    global came
    came = True
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt
