"""A sweep: which of its cells are left, and what is printed at the end. No torch."""

import errno
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, read_write

from dip_lab.checks import one_line
from dip_lab.compose import cell_at
from dip_lab.instantiate import instantiate
from dip_lab.plain import printable
from dip_lab.runs.claims import is_claimed
from dip_lab.runs.files import remove_abandoned, renew, write_text
from dip_lab.runs.folder import RESULT, read_result, record_failure, settled
from dip_lab.runs.ours import refuse_another_experiment
from dip_lab.tables.cells import read_cells
from dip_lab.tables.compare import as_csv, as_markdown, print_table
from dip_lab.tables.stopping_table import cases_of, rules_table

log = logging.getLogger(__name__)
POLL = 1.0  # seconds between two looks at the cells that another process computes
ended: list[tuple[str, Path]] = []  # of this process's sweep: (done, skipped or failed; the cell's folder)
failures: list[Exception] = []  # of the end of that sweep: what could not be written


def compute(cells: Mapping[Path, Sequence[str]], launch: Callable[..., Any], rerun: bool, retry_failed: bool,
            at_once: int | None, is_written: Callable[[Path], bool] | None = None) -> None:
    """Run every cell of a sweep to its end, and note in `ended` how it ended.

    Cells that another process computes are waited for, and taken over if that process dies. A process that dies
    (because the memory was too small) can end cells of its neighbours too: the cells that are left are launched again,
    one by one, and one whose process dies a second time has failed.

    Args:
        cells: {folder: overrides}.
        launch: a launcher's method; it may raise when one of its processes dies.
        at_once: cells handed to the launcher together; None: all.
        is_written: as in `settled`.
    """
    left = dict(cells)
    for folder in cells:
        result = None if rerun else settled(folder, retry_failed, is_written)
        if result:
            _note(left, folder, "skipped" if result["status"] == "done" else "failed")
    before = {folder: _stamp(folder) for folder in left}
    number, died, said = 0, set(), False
    while left:
        free = [folder for folder in left if not is_claimed(folder)]
        # Only after the free cells are listed: no process computes a cell that was free then and has no result now.
        _settle(left, before)
        free = [folder for folder in free if folder in left]
        for batch in (*_batches([f for f in free if f not in died], at_once), *([f] for f in free if f in died)):
            whole = _launched(launch, batch, left, number)
            number += len(batch)
            begun = [folder for folder in batch if is_claimed(folder) or _stamp(folder) != before[folder]]
            if not (whole or begun):
                raise ValueError("the launcher started nothing: see above")
            _settle(left, before)
            for folder in set(batch) & set(left):  # not ended: claimed by another process, or its process died
                if folder in died and not is_claimed(folder):
                    error = RuntimeError("its process died (out of memory?), or could not write its result")
                    record_failure(folder, read_result(folder) or {}, error)
                    _note(left, folder, "failed")
                elif not is_claimed(folder) and (whole or folder in begun):
                    died.add(folder)
        if left and not free:
            if not said:
                log.info("waiting for %d cells that other processes compute", len(left))
            said = True
            time.sleep(POLL)


def _launched(launch: Callable[..., Any], batch: list[Path], left: Mapping[Path, Sequence[str]], number: int) -> bool:
    """Hand cells to the launcher; false if it raised. The failure of a cell is recorded in the cell's folder."""
    try:
        launch([left[folder] for folder in batch], initial_job_idx=number)
    except Exception as error:
        log.error("%s", one_line(error))
        return False
    return True


def _settle(left: dict[Path, Sequence[str]], before: Mapping[Path, int | None]) -> None:
    """Note the cells that have ended by now, here or in another process."""
    for folder in list(left):
        result = settled(folder, retry_failed=False)
        if result and _stamp(folder) != before[folder]:
            _note(left, folder, result["status"])


def _note(left: dict[Path, Sequence[str]], folder: Path, status: str) -> None:
    del left[folder]
    ended.append((status, folder))


def _stamp(folder: Path) -> int | None:
    """Changes whenever a cell's result does."""
    try:
        return (folder / RESULT).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _batches(folders: list[Path], size: int | None) -> Iterator[list[Path]]:
    size = size or max(len(folders), 1)
    return (folders[start:start + size] for start in range(0, len(folders), size))


class SweepSummary(Callback):
    """Hydra's callback around a run and around a multirun."""

    lock: IO | None = None  # of a search

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Answer for a cell that is done before Hydra writes into its folder, which may be read-only."""
        HydraConfig.instance().set_config(config)
        try:
            folder = Path(config.hydra.run.dir).absolute()
            refuse_another_experiment(folder, cell_at(config, config.hydra, folder).hash)
            summary = None if config.rerun else settled(folder, True, instantiate(config.answer).is_written)
        except Exception:  # the run, which comes next, says what is wrong
            return
        if summary:
            remove_abandoned(folder)
            log.info("done before: %s", folder)
            raise SystemExit(0)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        ended.clear()
        failures.clear()
        # Hydra does this only for each job, but `hydra.sweep.dir` names the group, and that name needs the task.
        HydraConfig.instance().set_config(config)
        if "study_name" in config.hydra.sweeper:
            from dip_lab.search import prepare

            folder, overrides = Path(config.hydra.sweep.dir), list(config.hydra.overrides.task)
            try:
                with read_write(config.hydra):
                    self.lock = prepare(config.hydra.sweeper, folder, overrides, config.name)
            except Exception as error:  # Hydra would only warn, and search for the lowest score
                log.error("%s", one_line(error))
                raise SystemExit(2) from error

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        job_return.cfg = job_return.hydra_cfg = None  # otherwise the launcher keeps those of all cells to the end

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if self.lock:
            self.lock.close()
        if not ended:  # a search has another sweeper
            attempt(list_cells, Path(config.hydra.sweep.dir).absolute())
        conclude()


def attempt(write: Callable[[Path], Any], group: Path) -> None:
    """What fails at the end of a sweep keeps nothing else from being written; Hydra would only warn."""
    try:
        write(group)
    except Exception as error:
        nothing_new = all(status == "skipped" for status, _ in ended)
        if nothing_new and getattr(error, "errno", None) in (errno.EROFS, errno.EACCES):
            log.info("%s: not renewed", one_line(error))
        else:
            failures.append(error)


def list_cells(group: Path) -> None:
    """Note in `ended` what a group's folder holds."""
    ended.extend((cell.status, cell.folder) for cell in read_cells(group))


def conclude() -> None:
    """Write and print the tables of the groups that the sweep filled, and one line on how its cells ended."""
    from dip_lab.tables.report import PAGE, write_report  # imports Pillow

    groups = dict.fromkeys(folder.parent for _, folder in ended)  # -m task=denoise,inpaint fills two
    for folder in (*groups, *(folder for _, folder in ended)):
        remove_abandoned(folder)
    for group in groups:
        for write in (print_summary, summarise, draw_curves, compare_rules, write_report):
            attempt(write, group)
    counts = {word: sum(status == word for status, _ in ended) for word in ("done", "skipped", "failed")}
    print(", ".join(f"{number} {word}" for word, number in counts.items()), "->",
          printable(", ".join(str(group / PAGE) for group in groups)))


def print_summary(group: Path) -> None:
    """The table of a group on the terminal."""
    print_table(read_cells(group))


def summarise(group: Path) -> None:
    """summary.csv and summary.md of a group's folder."""
    cells = read_cells(group)
    write_text(group / "summary.csv", as_csv(cells))
    write_text(group / "summary.md", as_markdown(cells))


def draw_curves(group: Path) -> None:
    """curves.png of a group's folder: the PSNR of its cells; not written without a target."""
    from dip_lab.tables.comparison import comparison_png, curves_of  # matplotlib takes a second to import

    curves = curves_of(group)
    if curves:
        renew(group / "curves.png", comparison_png(curves))


def compare_rules(group: Path) -> None:
    """stopping.md of a group's folder: all stopping rules; written only if there are several, and a target."""
    cases = cases_of(group)
    if len({rule for case in cases for rule in case.choices}) > 1:
        text = rules_table(cases)
        write_text(group / "stopping.md", text)
        print(text)
