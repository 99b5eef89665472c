"""What a lack of memory looks like, and the least that a fit can begin with. No torch."""

import errno
import re
import resource

MESSAGE = re.compile(r"can't allocate memory|not enough memory|out of memory|annot allocate memory|"
                     r"can't start new thread|failed to map segment|std::bad_alloc|"
                     r"could not (create|execute) a (primitive|memory object)")  # oneDNN's words
# What torch, SciPy and one small fit take on two cores. Below that their libraries end the process, or hang.
LEAST = {"RLIMIT_AS": ("ulimit -v", 1536 * 2**20), "RLIMIT_DATA": ("ulimit -d", 768 * 2**20)}


def check_limits() -> None:
    """Refuse a shell's limit on memory under which not even the libraries can be loaded.

    Raises:
        ValueError: with the limit and the least that is needed.
    """
    for name, (command, least) in LEAST.items():
        limit = resource.getrlimit(getattr(resource, name))[0]
        if limit != resource.RLIM_INFINITY and limit < least:
            raise ValueError(f"out of memory: {command} allows this process {limit / 2**20:.0f} MiB, a fit needs at "
                             f"least {least / 2**20:.0f}: raise it")


def out_of_memory(error: BaseException | None) -> BaseException | None:
    """The failed allocation behind an error, if there is one.

    On a CPU, torch and oneDNN raise a plain RuntimeError; a library that cannot be loaded is an ImportError.
    """
    seen = []
    while error is not None and error not in seen:  # an error may be its own cause
        seen.append(error)
        said = str(error) if isinstance(error, RuntimeError | ImportError | OSError) else ""
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" \
                or getattr(error, "errno", None) == errno.ENOMEM or MESSAGE.search(said):
            return error
        error = error.__cause__
    return None
