"""Opens and closes Weights & Biases runs so that W&B neither stops nor slows down a fit. Imports no torch."""

import contextlib
import logging
import os
import re
import shlex
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dip_lab.checks import one_line, one_of
from dip_lab.runs.private import FOLDER, private_folder

log = logging.getLogger(__name__)
PATIENCE = 5  # seconds that an online run waits for its server: at its start, for a table, at its end
OLD_MODES = {"dryrun": "offline", "run": "online"}  # W&B's own old names, which a shell profile may still have
ON_DISK = 60  # seconds that an offline run may take for the same on a busy machine
# A run holds only what is logged to it: nothing of the program, its packages, output and repository, or the machine.
ONLY_WHAT_IS_LOGGED = {
    "program": "", "disable_code": True, "save_code": False, "disable_git": True, "disable_job_creation": True,
    "x_save_requirements": False, "console": "off", "host": "", "x_disable_machine_info": True, "x_disable_meta": True,
    "x_disable_stats": True,
}
stays_offline = False  # true once an online run of this process has failed: later ones do not wait for the server
has_warned = False


def warn_once(text: str, *values: Any) -> None:
    """Log the process's first warning only: later ones, in this run and in others, have the same cause."""
    global has_warned
    if not has_warned:
        has_warned = True
        log.warning(text, *values)


def open_run(project: str, mode: str, save_dir: str, group: str, name: str, id: str, **labels: Any) -> Any:
    """Open one run whose curves all have the axis `iteration`; None, with a warning, if W&B cannot even write.

    An online run that cannot start within a few seconds becomes an offline one, as do all later ones of the process.
    Never asks for a login. Online runs silence what W&B itself prints, for the whole process. Errors are not reported
    to W&B's makers unless the variable WANDB_ERROR_REPORTING says so.

    Args:
        mode: offline, online or disabled; the variable WANDB_MODE wins.
        save_dir: W&B keeps the run's files in `wandb/` there.
        id: the same id continues the same run. Under `wandb agent` W&B takes the agent's id and project.
        labels: more arguments of `wandb.init`.

    Raises:
        ValueError: `mode` is unknown.
    """
    variable = os.environ.get("WANDB_MODE")
    asked = variable or mode
    mode = one_of("WANDB_MODE" if variable else "logger.wandb.mode", OLD_MODES.get(str(asked), asked),
                  ("offline", "online", "disabled"))
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if not variable:
        os.environ.pop("WANDB_MODE", None)  # W&B refuses an empty one
    _find_room()
    labels |= {"project": project, "id": re.sub(r"[^\w-]+", "-", id), "dir": save_dir, "group": group, "name": name,
               "resume": "allow", "reinit": "create_new"}
    if mode == "online" and stays_offline:
        mode = "offline"
    try:
        try:
            return _init(mode, labels)
        except Exception as error:  # no key or a wrong one, no network, a broken server, a dead W&B process
            if mode == "online":
                _stay_offline(one_line(error), "", save_dir, "offline-run-*")
            _start_over()
            return _init("offline", labels)
    except Exception as error:  # a full disk, or W&B is not installed
        warn_once("Weights & Biases did not start (%s): history.csv has the curves", one_line(error))
        return None


def log_table(run: Any, key: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Log one table. Only for tables does W&B ask its server first; the wait for it is limited."""
    import wandb

    try:
        _within_patience(lambda: run.log({key: wandb.Table(columns=columns, data=rows)}))
    except TimeoutError:
        _leave_on_disk(run)
    except Exception as error:  # a CSV file next to the run has it
        warn_once("Weights & Biases did not take the table %s (%s)", key, one_line(error))


def close_run(run: Any, exit_code: int = 0) -> None:
    """End the run; an online one waits a few seconds for its upload, and then leaves the rest on the disk."""
    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        _leave_on_disk(run)
    except Exception as error:  # the fit's files are written by now
        warn_once("Weights & Biases did not close its run (%s)", one_line(error))


def _find_room() -> None:
    """Give W&B a temporary folder in place of a home that is not there or is read-only: it would print its own log."""
    import platformdirs

    folders = {"WANDB_CACHE_DIR": platformdirs.user_cache_dir("wandb"),
               "WANDB_DATA_DIR": platformdirs.user_data_dir("wandb")}
    for variable, folder in folders.items():
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
        if "HOME" not in os.environ or not os.access(folder, os.W_OK):
            os.environ.setdefault(variable, str(_elsewhere()))


def _elsewhere() -> Path:
    """A folder of this user's own, kept for the next run if it can be."""
    try:
        return private_folder(private_folder(FOLDER) / "wandb")
    except OSError:
        return Path(tempfile.mkdtemp(prefix="dip_lab-wandb-"))


def _init(mode: str, labels: dict[str, Any]) -> Any:
    import wandb

    if mode == "online":
        wandb.setup(wandb.Settings(silent=True))
        if wandb.run is None and not wandb.login(prompt=False, verify=False):
            raise RuntimeError("there is no API key")
    patience = PATIENCE if mode == "online" else ON_DISK
    run = wandb.init(mode=mode, **labels, settings=wandb.Settings(
        silent=True, init_timeout=os.environ.get("WANDB_INIT_TIMEOUT") or patience,
        finish_timeout=os.environ.get("WANDB_FINISH_TIMEOUT") or patience, finish_timeout_raises=True,
        **ONLY_WHAT_IS_LOGGED))
    run.define_metric("iteration")
    run.define_metric("*", step_metric="iteration")
    return run


def _start_over() -> None:
    """End W&B's own process and all its runs: nothing less frees the id of a run that failed to start."""
    import wandb

    with contextlib.suppress(Exception):  # it may be dead, or wait for its requests forever
        _within_patience(wandb.teardown)


def _within_patience(act: Callable[[], None]) -> None:
    """Call `act`, which may block or even end the thread that calls it, in a thread of its own.

    Raises:
        TimeoutError: `act` takes more than `PATIENCE` seconds; it goes on unattended.
    """
    errors = []

    def attempt() -> None:
        try:
            act()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        raise TimeoutError
    for error in errors:
        raise error


def _leave_on_disk(run: Any) -> None:
    problem = "the server does not answer, or the connection is slow"
    _stay_offline(problem, "--no-skip-online ", str(Path(run.dir).parents[2]), "*run-*")


def _stay_offline(problem: str, option: str, save_dir: str, runs: str) -> None:
    global stays_offline
    stays_offline = True
    warn_once("Weights & Biases: %s. From here on this process keeps its runs on the disk; once the server answers and "
              "`wandb login` has a key, upload them: wandb sync %s%s/*/wandb/%s",
              problem, option, shlex.quote(str(Path(save_dir).parent)), runs)
