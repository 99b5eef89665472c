"""Ctrl-C at any moment: exit code 130 and no traceback; during a fit, the record says so."""

import os
import signal
import subprocess
import sys

import pytest
import pytorch_lightning as pl

from dip_lab import cli, ctrl_c


class Strike(pl.Callback):
    """Sends itself a signal in one of Lightning's hooks."""

    def __init__(self, hook, number):
        setattr(self, hook, lambda *_, **__: os.kill(os.getpid(), number))


@pytest.fixture
def default_handlers(without_plots):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("hook", ["setup", "on_train_start"])
def test_between_the_trainers_start_and_the_first_step(hook, number, default_handlers, fit_tiny, tmp_path):
    restoration = fit_tiny("iterations=20", folder=tmp_path, callbacks=[Strike(hook, number)])
    assert restoration.summary["stop_reason"] == f"interrupted by {number.name}"
    assert restoration.summary["iterations"] == 1 and (tmp_path / "dip_denoised.png").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_an_import_swallows_is_not_forgotten(command, default_handlers, monkeypatch):
    def swallowed():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            pass

    monkeypatch.setattr(cli, "announce", swallowed)
    code, said = command("data.size=16", "net.width=4", "net.depth=2", "iterations=3", "logger=none")
    assert code == 130 and said == ""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_lightnings_exit_code_is_not_ours(command, default_handlers, monkeypatch):
    def ended():
        ctrl_c.came = True
        raise SystemExit(1)

    monkeypatch.setattr(cli, "announce", ended)
    assert command("data.size=16", "logger=none")[0] == 130


def test_while_the_program_is_imported():
    """A module that is imported early sends the signal: Python would show a traceback."""
    code = ("import builtins, os, signal, sys\nreal = builtins.__import__\n"
            "def watched(name, *rest):\n    if name == 'hydra': os.kill(os.getpid(), signal.SIGINT)\n"
            "    return real(name, *rest)\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "builtins.__import__ = watched\nimport dip_lab.__main__\n")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout + ended.stderr) == (-signal.SIGINT, "")
