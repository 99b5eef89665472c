"""PyAV, which reads and writes films. Only clips need it."""

from types import ModuleType


def pyav() -> ModuleType:
    """The module `av`.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import av
    except ImportError:
        raise ValueError("clips need one more package: pip install -e '.[video]'") from None
    return av
