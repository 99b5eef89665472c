"""The campaign: the same thing done wrong in a thousand ways, and how many of them end well.

`pytest -m campaign -n 2` runs it whole (half an hour) and ends with the table of docs/reliability.md. It is not part
of the default run: what it found is held there by one small test each.
"""

import signal
import time

import pytest

LIMIT = 1800  # seconds of one test


class Tally:
    """Counts the cases of one kind; a case is sound, or has a fault that a line describes."""

    def __init__(self, kind: str, record):
        self.kind, self._record = kind, record
        self.total, self.faults, self._began = 0, [], time.monotonic()

    def add(self, case: object, fault: str | None) -> None:
        """Count a case; `fault` says what is wrong with it, None: nothing."""
        self.total += 1
        if fault:
            self.faults.append(f"{case}: {fault}")

    def conclude(self) -> None:
        """Put the row into the table, and fail if a case has a fault."""
        seconds = time.monotonic() - self._began
        self._record("campaign", (self.kind, self.total - len(self.faults), self.total, round(seconds)))
        assert self.total
        assert not self.faults, "\n".join([f"{len(self.faults)} of {self.total}:", *self.faults[:40]])


@pytest.fixture
def tally(record_property):
    """`tally("a flipped bit in a checkpoint")`: a count, which the test ends with `conclude()`."""
    return lambda kind: Tally(kind, record_property)


@pytest.fixture(autouse=True)
def bounded():
    """A test that hangs ends after `LIMIT` seconds."""

    def late(number, frame):
        raise TimeoutError(f"the campaign's limit of {LIMIT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pytest_terminal_summary(terminalreporter):
    """The table, from the rows that the tests recorded, in whatever process they ran."""
    rows = [value for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, ())
            for key, value in report.user_properties if key == "campaign"]
    if rows:
        terminalreporter.write_line("| kind | sound | of | seconds |\n| --- | ---: | ---: | ---: |")
        for row in sorted(map(tuple, rows)):
            terminalreporter.write_line("| {} | {} | {} | {} |".format(*row))
