import io
import logging
import re
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from dip_lab.callbacks import progress as module_under_test
from dip_lab.callbacks.progress import Progress
from dip_lab.results.history import COLUMNS, History

MODULE = SimpleNamespace(problem=SimpleNamespace(name="astronaut", image_shape=(1, 3, 24, 32)))


def driven(monkeypatch, terminal, iterations=12, psnr=28.125, first=1, patience=15, width=200):
    """What the progress bar of a fit of twelve iterations wrote to its console."""
    screen = io.StringIO()
    monkeypatch.setattr(module_under_test, "Console",
                        lambda **given: Console(file=screen, force_terminal=terminal, width=width))
    history, progress = History(COLUMNS, None), Progress(seconds=0)
    progress.history, progress.iterations = history, 40
    progress.what, progress.picture = "denoise astronaut with skip", Path.cwd() / "outputs" / "restoration.png"
    progress.stopping = SimpleNamespace(rule=SimpleNamespace(why_may_stop="wmv 1.0e-03, 4/15", patience=patience))
    progress.on_train_start(None, MODULE)
    for iteration in range(first, iterations + 1):
        if iteration % 5 == 0:
            history.append({"iteration": iteration, "seconds": 0.1, "loss": 0.0123, "psnr": psnr,
                            "psnr_average": float("nan"), "ssim": psnr, "statistic": 0.001})
        progress.on_train_batch_end(None, MODULE, None, iteration, iteration - 1)
    progress.on_train_end(None, MODULE)
    return screen.getvalue()


def test_a_terminal_gets_a_bar(monkeypatch):
    shown = driven(monkeypatch, terminal=True)
    for text in ("astronaut", "12/40", "it/s", "loss 0.0123", "psnr 28.12 dB", "wmv 1.0e-03, 4/15"):
        assert text in shown


@pytest.mark.parametrize("width, least, most", [
    (80, "12/40  1 s left  psnr 28.12 dB  loss 0.0123  wmv 1.0e-03, 4/15", "astronaut"),
    (40, "12/40  1 s left  psnr 28.12 dB", "loss"), (8, "12/40", "left")])
def test_the_line_fits_any_width(width, least, most, monkeypatch):
    clock = count(0.0, 0.04)
    monkeypatch.setattr(module_under_test.time, "monotonic", lambda: next(clock))
    bar = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", driven(monkeypatch, terminal=True, width=width)).split("\r")[-1]
    (line,) = [line for line in bar.splitlines() if line.startswith("12/40")]
    assert len(line) <= width and least in line and most not in line and "…" not in line


def test_without_a_target_there_is_no_psnr(monkeypatch):
    shown = driven(monkeypatch, terminal=True, psnr=float("nan"))
    assert "loss 0.0123" in shown and "psnr" not in shown and "nan" not in shown


def test_elsewhere_plain_lines_one_for_each_row(monkeypatch, caplog):
    monkeypatch.setattr(module_under_test, "PLAIN_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        shown = driven(monkeypatch, terminal=False)
    assert shown == ""
    lines = [record.getMessage() for record in caplog.records if not record.getMessage().startswith("denoise")]
    assert len(lines) == 2
    assert lines[0].startswith("5/40") and "psnr 28.12 dB  loss 0.0123  wmv" in lines[0]


def test_elsewhere_at_most_one_line_in_ten_seconds(monkeypatch, caplog):
    with caplog.at_level(logging.INFO):
        driven(monkeypatch, terminal=False)
    assert len(caplog.records) == 1  # the announcement


@pytest.mark.parametrize("terminal", [True, False])
def test_it_says_first_what_is_done_and_how_long_it_takes(monkeypatch, caplog, terminal):
    clock = count(0.0, 1.5)
    monkeypatch.setattr(module_under_test.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        shown = driven(monkeypatch, terminal, iterations=7)
    said = shown if terminal else caplog.text
    assert ("denoise astronaut with skip, 32x24: at most 40 iterations of 1.5 s, 1 min 0 s; the stopping rule may end "
            "it sooner\nwatch it in outputs/restoration.png") in said.replace("\r", "")


def test_a_continued_fit_says_so_and_a_rule_without_patience_ends_nothing(monkeypatch, caplog):
    clock = count(0.0, 2.0)
    monkeypatch.setattr(module_under_test.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        driven(monkeypatch, terminal=False, first=31, iterations=37, patience=None)
    assert "32x24: continued after iteration 30, at most 10 iterations of 2 s, 20 s\n" in caplog.text


@pytest.mark.parametrize("now", [5.0, 0.0])
def test_a_clock_that_stands_still_divides_nothing(now, monkeypatch):
    monkeypatch.setattr(module_under_test.time, "monotonic", lambda: now)
    assert "12/40" in driven(monkeypatch, terminal=True)


def test_the_bar_is_closed_when_the_fit_fails(monkeypatch):
    monkeypatch.setattr(module_under_test, "Console", lambda **given: Console(file=io.StringIO(), force_terminal=True))
    progress = Progress(seconds=0)
    progress.history = History(COLUMNS, None)
    progress.on_train_start(None, MODULE)
    bar = progress._bar
    progress.on_exception(None, MODULE, RuntimeError())
    assert not bar.live.is_started
    progress.on_train_end(None, MODULE)  # Lightning may call both
