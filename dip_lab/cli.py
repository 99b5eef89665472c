"""The command line: hand the composed config to a fit, and say in one line what a person did wrong.

Imports Hydra only; torch and Lightning come once there is something to fit, so that `--help` is quick.
"""

import logging
import os
import re
import signal
import sys
import warnings
from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

from dip_lab import ctrl_c, sweep
from dip_lab.answers.format import Format
from dip_lab.catalogue import config_folder, help_text
from dip_lab.checks import one_line
from dip_lab.compose import cell_at, refuse_code, register_resolvers
from dip_lab.instantiate import instantiate
from dip_lab.mistakes import MISTAKES, building, explain, explained, unexpected
from dip_lab.plain import printable
from dip_lab.runs.claims import claim
from dip_lab.runs.files import from_here, write_text
from dip_lab.runs.folder import ERROR, is_done, read_result, record_failure, settled
from dip_lab.runs.identity import Cell
from dip_lab.runs.ours import protect, refuse_another_experiment
from dip_lab.runs.sharing import announce
from dip_lab.scores import SCORES, known
from dip_lab.shortage import check_limits, out_of_memory
from dip_lab.spelling import own_configs, spelled
from dip_lab.streams import keep_open
from dip_lab.utf8 import use_utf8
from hydra_plugins.dip_lab import local, sweeper

log = logging.getLogger(__name__)
NEXT = """
your own noisy photo   python run.py data=file data.path=photo.jpg
all there is           python run.py --help"""
FULL_ERROR = os.environ.get("HYDRA_FULL_ERROR") == "1"

register_resolvers()
# The YAML of a launcher has the name of the plugin's own config on purpose: it changes the plugin's defaults.
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


@hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="run")
def job(cfg: DictConfig) -> float | None:
    """One cell; returns what a search maximises, or None where there is nothing to compare."""
    keep_open()  # in a launcher's process, too
    if HydraConfig.get().job.chdir:
        os.chdir(HydraConfig.get().runtime.cwd)  # where the paths that a person types start
    folder = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    logging.captureWarnings(True)
    try:
        with explained(HydraConfig.get().overrides.task):
            summary = _summary(cfg, folder, sweeping)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if not sweeping:
            if FULL_ERROR:
                raise
            mistake = isinstance(error, MISTAKES)
            log.error("%s", one_line(error) if mistake else f"{unexpected(error)}: see {from_here(folder / ERROR)}")
            raise SystemExit(2 if mistake else 1) from None
        # The sweep goes on. Nothing may keep the error: its traceback keeps the network.
        log.error("%s", one_line(error), exc_info=FULL_ERROR)
        return None
    if summary["status"] == "failed":
        log.error("%s", summary.get("error"))
        if not sweeping:
            raise SystemExit(1)
        return None
    return summary.get("psnr_held_out") if summary.get("psnr") is None else summary["psnr"]


def _summary(cfg: DictConfig, folder: Path, sweeping: bool) -> Mapping[str, Any]:
    """The summary of the cell, computed now or before."""
    with building():
        asked, cell = instantiate(cfg.answer), cell_at(cfg, HydraConfig.get(), folder)
    with claim(folder):
        if not cfg.rerun:
            refuse_another_experiment(folder, cell.hash)
        summary = None if cfg.rerun else settled(folder, cfg.retry_failed or not sweeping, asked.is_written)
        if summary is None:
            return _fit(cfg, cell, asked)
    log.info("%s before: %s", summary["status"], folder)
    return summary


def _fit(cfg: DictConfig, cell: Cell, asked: Format) -> Mapping[str, Any]:
    """Compute a cell whose folder is claimed; an error is recorded there before it is raised again."""
    folder = cell.folder
    if not cfg.rerun and is_done(folder):
        log.info("done before, but without the file that is asked for: fitted on from the last checkpoint")
    protect(cell, cfg.rerun, here=Path(HydraConfig.get().runtime.cwd))
    try:
        summary = _restore(cfg, cell)
    except Exception as error:
        if not is_done(folder) or HydraConfig.get().mode == RunMode.MULTIRUN:  # a sweep needs to know
            record_failure(folder, (read_result(folder) or {}) | cell.description | cell.provenance, error)
        raise
    if summary["status"] == "failed":
        write_text(folder / ERROR, f"{summary['error']}\n")
    print(said(summary, asked.path(folder / summary["answer"])))
    if summary["status"] == "done" and not HydraConfig.get().overrides.task:
        print(NEXT)
    if summary["status"] == "interrupted":  # "interrupted by SIGINT": 130, as shells count
        raise SystemExit(128 + signal.Signals[summary["stop_reason"].split()[-1]])
    return summary


def _restore(cfg: DictConfig, cell: Cell) -> Mapping[str, Any]:
    """The summary of a fit, which runs with its share of the machine.

    Raises:
        ValueError: the memory is too small.
    """
    announce()
    check_limits()
    try:
        from dip_lab import machine

        machine.free_memory()
        machine.tune_allocator()
        machine.use_threads(cfg.threads)
        machine.use_gpu(cfg.gpu, HydraConfig.get().job.get("num"))
        from dip_lab.experiment import begin, run

        if ctrl_c.came:
            raise KeyboardInterrupt
        begin(cfg, cell)
        return run(cfg, cell).summary
    except Exception as error:
        failed = out_of_memory(error)
        if failed is None:
            raise
        raise ValueError(f"out of memory: {one_line(failed)}: a smaller data.size or net.width needs less") from error


def said(summary: Mapping[str, Any], path: Path) -> str:
    """The short table at the end of a fit: its scores, and where the picture is."""
    scores = known([summary])
    rows = {key: score.measured(summary[key]) + (f" {score.note}" if score.unit and score.note else "")
            for key, score in scores.items() if score.terminal and summary.get(key) is not None}
    if "psnr" in rows and summary["psnr_observed"] is not None:
        observed, gain = summary["psnr_observed"], summary["psnr"] - summary["psnr_observed"]
        rows["psnr"] += f" (observation {SCORES['psnr_observed'].text(observed)}: {gain:+.2f} dB)"
    if "psnr_peak" in rows:
        peak = SCORES["psnr_peak"]
        where = f"at iteration {summary['peak_iteration']} ({peak.note})"
        rows["psnr_peak"] = f"{peak.measured(summary['psnr_peak'])} {where}"
    pace = ""
    if summary["iterations"]:  # a baseline has none
        count = len(summary["parts"] or ())
        parts = f" (the mean of {count} parts)" if count > 1 else ""
        rows["iteration"] = (f"{summary['chosen_iteration']} of {summary['iterations']}{parts}: "
                             f"{summary['stop_reason']}")
        pace = f" ({SCORES['seconds_per_iteration'].text(summary['seconds_per_iteration'])} an iteration)"
    rows["seconds"] = SCORES["seconds"].text(summary["seconds"]) + pace
    rows["picture"] = str(from_here(path))
    if path.with_suffix(".npy").exists():
        rows["array"] = str(from_here(path.with_suffix(".npy")))
    if path.with_suffix(".mp4").exists():
        rows["film"] = str(from_here(path.with_suffix(".mp4")))
    width = max(map(len, rows))  # plain lines: a table of rich cuts the path off at the terminal's width
    return "\n".join(printable(f"{key:<{width}} {text}") for key, text in rows.items())


def parsed(arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """What a command line says, and its flags alone.

    Raises:
        ValueError: a flag that Hydra does not have, or that counts once and is given twice.
    """
    parser = get_args_parser()
    parser.error = _refuse
    said, unknown = parser.parse_known_intermixed_args(arguments)
    for flag in unknown:
        if flag.startswith("-"):
            key, _, value = flag.lstrip("-").partition("=")
            value = value or "".join(arguments[arguments.index(flag) + 1:][:1]) or "..."
            raise ValueError(f"{flag}: there is no such flag: a setting has no dashes: {key}={value}")
    if sum(argument.partition("=")[0] in ("-cd", "--config-dir") for argument in arguments) > 1:
        raise ValueError(f"-cd {said.config_dir}: give one folder with -cd, and hydra.searchpath=[...] for more")
    said.overrides += unknown
    return said, [argument for argument in arguments if argument not in said.overrides]


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


def with_groups(overrides: Sequence[str]) -> list[str]:
    """Overrides in which the settings of a group that is swept are swept too, each with its one value.

    Hydra composes the config of a sweep without what is swept, and that config may not have those settings.

    >>> with_groups(["stopping=wmv,emv", "stopping.patience=9", "seed=1"])
    ['stopping=wmv,emv', 'stopping.patience=choice(9)', 'seed=1']
    """
    given = OverridesParser.create().parse_overrides(list(overrides))
    groups = {each.key_or_group for each in given if each.is_sweep_override() and "." not in each.key_or_group}
    return [f"{each.get_key_element()}=choice({each.get_value_element_as_str()})" if _is_inside(each, groups)
            else each.input_line for each in given]


def _is_inside(override: Override, groups: Collection[str]) -> bool:
    """Whether it is a single value of a setting in one of the groups; an experiment may change any group."""
    if override.value_type != ValueType.ELEMENT or override.is_delete() or override.is_hydra_override():
        return False
    group, *setting = re.split(r"[./]", override.key_or_group)
    return bool(setting) and (group in groups or "experiment" in groups)


def register_plugins() -> None:
    """Tell Hydra of our sweeper and launcher: an editable install hides them from its own search."""
    plugins = Plugins.instance()
    plugins.register(sweeper.CellSweeper)
    if local.LocalLauncher:
        plugins.register(local.PatientLocalLauncher)


def main() -> int:
    """Exit code: 0 done, 1 a cell or table of a sweep failed, 2 a mistake at the prompt, 128 + n ended by signal n."""
    return ctrl_c.exit_code(_main)


def _main() -> int:
    use_utf8()
    keep_open()
    if {"--help", "-h"} & set(sys.argv[1:]):  # Hydra's own reads every file of every group twice
        print(help_text())
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands us the error instead of printing it
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # else "[repeated 3x across cluster]" hides what cells say
    overrides: list[str] = []
    try:
        register_plugins()
        said, flags = parsed(sys.argv[1:])
        overrides = [*own_configs(said.config_dir), *with_groups(spelled(said.overrides))]
        if said.config_path or said.config_name or any("hydra" in text for text in overrides):  # not only our own YAML
            folder = Path(__file__).parent / said.config_path if said.config_path else None
            refuse_code(overrides, folder, said.config_name or "run")
        sys.argv[1:] = [*overrides, *flags]  # Hydra's argparse takes overrides from one place only
        job()
    except Exception as error:
        if FULL_ERROR:
            raise
        print(printable(_said_of(error, overrides)), file=sys.stderr)
        return 2
    except (SystemExit, KeyboardInterrupt) as ended:
        if sweep.ended:
            sweep.conclude()
            _say_failures()
        raise ended if isinstance(ended, SystemExit) else SystemExit(130) from None
    _say_failures()
    return int(bool(sweep.failures) or any(status == "failed" for status, _ in sweep.ended))


def _said_of(error: Exception, overrides: Sequence[str]) -> str:
    """One line for what kept the config from being composed, or a launcher from starting."""
    if failed := out_of_memory(error):
        return f"out of memory: {one_line(failed)}"
    if "Unknown plugin class" in str(error):  # Hydra's words
        return "this launcher needs extra packages: pip install -e '.[launchers]'"
    return explain(error, overrides) if isinstance(error, MISTAKES) else unexpected(error)


def _say_failures() -> None:
    """A line for each different thing that went wrong at the end of a sweep."""
    for line, error in {one_line(error): error for error in sweep.failures}.items():
        log.error("the end of the sweep failed: %s", line, exc_info=error if FULL_ERROR else None)
