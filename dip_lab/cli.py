"""The command line: hand the composed config to a fit, and say in one line what a person did wrong.

Imports Hydra only; torch and Lightning come once there is something to fit, so that `--help` is quick.
"""

import difflib
import fnmatch
import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dip_lab import runs, sweep
from dip_lab.catalogue import GROUPS, config_folder, help_text
from dip_lab.compose import compose, expand_shadow, without_hydra
from dip_lab.data.listing import pictures_in, some_of
from dip_lab.data.registry import pictures_of
from dip_lab.runs import one_line

log = logging.getLogger(__name__)
MISTAKES = (HydraException, OmegaConfBaseException, ValueError, OSError)  # what a person can cause and set right
FULL_ERROR = os.environ.get("HYDRA_FULL_ERROR") == "1"

runs.register_resolvers()


@hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="run")
def job(cfg: DictConfig) -> float | None:
    """One cell; returns its PSNR (the objective of a search), or None without a target."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    logging.captureWarnings(True)
    try:
        with runs.claim(folder):
            stored = None if cfg.rerun else runs.done(folder)
            if stored:
                log.info("done before: %s", folder)
                sweep.ended.append(("skipped", folder))
                return stored.get("psnr")
            if cfg.rerun:
                runs.start_over(folder)
            try:
                summary = _fit(cfg, folder)
            except Exception as error:  # recorded under the claim: the record of another process is not ours to write
                _record_failure(cfg, folder, error)
                raise
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if FULL_ERROR or not (sweeping or isinstance(error, MISTAKES)):
            raise
        log.error("%s", one_line(error))
        if not sweeping:
            raise SystemExit(2) from None
        sweep.ended.append(("failed", folder))
        return None
    sweep.ended.append(("done", folder))
    return summary.get("psnr")


def _fit(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    from dip_lab.experiment import fit
    from dip_lab.speed import tune_allocator

    tune_allocator()
    restoration = fit(cfg, HydraConfig.get().runtime.choices, folder)
    summary = restoration.summary
    _say(summary, folder / f"{restoration.answer}.png")
    if summary["status"] == "interrupted":  # "interrupted by SIGINT": 130, as shells count
        raise SystemExit(128 + signal.Signals[summary["stop_reason"].split()[-1]])
    return summary


def _say(summary: dict[str, Any], path: Path) -> None:
    """The short table at the end of a fit."""
    observed = "" if summary["psnr_observed"] is None else f" (observation {summary['psnr_observed']:.2f})"
    units = {"psnr": f"{{:.2f}} dB{observed}", "psnr_hole": "{:.2f} dB in the hole", "psnr_y": "{:.2f} dB on Y",
             "ssim": "{:.4f}", "psnr_peak": f"{{:.2f}} dB at iteration {summary['peak_iteration']} (needs the target)"}
    rows = {key: unit.format(summary[key]) for key, unit in units.items() if summary[key] is not None}
    pace = ""
    if summary["iterations"]:  # a baseline has none
        rows["iteration"] = f"{summary['chosen_iteration']} of {summary['iterations']}: {summary['stop_reason']}"
        pace = f" ({summary['seconds_per_iteration']:.3f} an iteration)"
    rows["seconds"] = f"{summary['seconds']:.1f}{pace}"
    rows["picture"] = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    for key, text in rows.items():  # plain lines: a table of rich cuts the path off at the terminal's width
        print(f"{key:<10} {text}")


def _record_failure(cfg: DictConfig, folder: Path, error: Exception) -> None:
    """Say in result.json that the cell failed, unless there is no room even for that."""
    choices = runs.chosen_options(cfg, HydraConfig.get().runtime.choices)
    known = {**choices, "picture": runs.picture_name(cfg), "seed": cfg.seed}
    try:
        runs.write_json(folder / runs.RESULT, {**known, "status": "failed", "error": one_line(error)})
    except OSError as failure:
        if not isinstance(error, OSError):  # else the disk is full, and the error itself says so
            log.error("%s", one_line(failure))


def explain(error: BaseException, arguments: list[str]) -> str:
    """One line for a mistake in the overrides, with the nearest key or option where there is one."""
    text = one_line(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        wanted = re.search(r"Could not find '([^']+)'", text)
        group, _, option = (wanted[1] if wanted else error.missing_cfg_file or "").rpartition("/")
        near = difflib.get_close_matches(option, error.options, n=1)
        hint = f"{group}={option}: did you mean {near[0]}? " if near else ""
        return f"{hint}{group} is one of {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read: quote a value with special characters, such as 'key=\"a, b\"'"
    wanted = re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct", text)
    if wanted:
        key = wanted[1] or wanted[2]
        near = _nearest_key(key, arguments)
        return f"{key}: there is no such key: " + (f"did you mean {near}?" if near else "--cfg job lists them")
    return text


def _nearest_key(key: str, arguments: list[str]) -> str | None:
    """The key of the composed config that looks most like a misspelt one."""
    chosen = [a for a in arguments if a.split("=")[0] in GROUPS]
    known = list(_keys(OmegaConf.to_container(without_hydra(compose(chosen)))))
    known += [f"task/{group}" for group in ("noise", "mask", "kernel", "observe")]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if re.split(r"[./]", k)[-1] == key.split(".")[-1]]  # sigma=50 means task.sigma=50
    return near[0] if near else last[0] if last else None


def _keys(tree: Any, prefix: str = "") -> Any:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield prefix + str(key)
        yield from _keys(value, f"{prefix}{key}.")


def expand_pictures(arguments: list[str]) -> list[str]:
    """`-m data=denoise9` without a name, or `data.name=glob(kodim*)`: one cell for each such picture.

    Of a folder (`data=folder data.path=...`) as of a data set.
    """
    values = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    pattern = re.fullmatch(r"""["']?glob\((.*)\)["']?""", values.get("data.name", ""))
    everything = {"-m", "--multirun"} & set(arguments) and "data" in values and "data.name" not in values
    if not pattern and not everything:
        return arguments
    source = compose([argument for argument in map(quote_path, arguments)
                      if re.match(r"(data|experiment|data\.(?!name)\w+)=", argument)]).data
    if "folders" in source:
        names = list(pictures_of(source.folders, source.root))
    elif "path" in source and "name" in source:
        names = pictures_in(source.path)
    elif everything:
        return arguments
    else:
        raise ValueError(f"data.name={values['data.name']}: only a folder and a data set have pictures to choose from")
    chosen = fnmatch.filter(names, pattern[1]) if pattern else names
    if not chosen:
        raise ValueError(f"data.name={values['data.name']}: no such picture; there are {some_of(names, 40)}")
    rest = [argument for argument in arguments if not argument.startswith("data.name=")]
    return [*rest, "data.name=" + ",".join(map(quoted, chosen))]


def quote_path(argument: str) -> str:
    """`data.path=my photo (1).jpg` as Hydra's grammar wants it; anything that names no file stays as it is.

    >>> quote_path("data.path=no such, file")
    'data.path=no such, file'
    """
    key, _, value = argument.partition("=")
    names_a_file = key.endswith((".path", ".root", ".init_from", ".observation"))
    if names_a_file and value and os.path.exists(os.path.expanduser(value)):
        return f"{key}={quoted(value)}"
    return argument


def quoted(text: str) -> str:
    """A string literal of Hydra's grammar, in which a backslash is only special before a quote.

    >>> print(quoted("it's"))
    'it\\'s'
    """
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), text) + "'"


def main() -> int:
    """Exit code: 0 done, 1 a cell of a sweep failed, 2 a mistake at the prompt, 128 + n ended by signal n."""
    if {"--help", "-h"} & set(sys.argv[1:]):  # Hydra's own reads every file of every group twice
        print(help_text())
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands us the error instead of printing it
    try:
        # Flags first: argparse, in Hydra, understands overrides on one side of `-m` only.
        arguments = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))
        sys.argv[1:] = map(quote_path, expand_pictures(expand_shadow(arguments)))
        job()
    except MISTAKES as error:
        if FULL_ERROR:
            raise
        print(explain(error, sys.argv[1:]), file=sys.stderr)
        return 2
    return int(any(status == "failed" for status, _ in sweep.ended))
