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
import warnings
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dip_lab import runs, sweep
from dip_lab.catalogue import GROUPS, config_folder, help_text, options
from dip_lab.compose import compose, expand_shadow, without_hydra
from dip_lab.data.grouping import groups_in
from dip_lab.data.listing import pictures_in, some_of
from dip_lab.data.registry import pictures_of
from dip_lab.runs import one_line
from hydra_plugins.dip_lab import local, sweeper

log = logging.getLogger(__name__)
MISTAKES = (HydraException, OmegaConfBaseException, ValueError, OSError)  # what a person can cause and set right
FULL_ERROR = os.environ.get("HYDRA_FULL_ERROR") == "1"

runs.register_resolvers()
# A launcher's YAML of ours has the name of the plugin's own on purpose: it changes its defaults.
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


@hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="run")
def job(cfg: DictConfig) -> float | None:
    """One cell; returns what a search maximises, or None where there is nothing to compare."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    logging.captureWarnings(True)
    try:
        with runs.claim(folder):
            summary = None if cfg.rerun else runs.settled(folder, retry_failed=cfg.retry_failed or not sweeping)
            if summary:
                log.info("%s before: %s", summary["status"], folder)
            else:
                summary = _fit(cfg, folder)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if not sweeping:
            if FULL_ERROR or not isinstance(error, MISTAKES):
                raise
            log.error("%s", one_line(error))
            raise SystemExit(2) from None
        # The sweep goes on. Nothing may keep the error: its traceback keeps the network.
        log.error("%s", one_line(error), exc_info=FULL_ERROR)
        return None
    if summary["status"] == "failed":
        log.error("%s", summary["error"])
        if not sweeping:
            raise SystemExit(1)
        return None
    return summary["psnr"] if summary["psnr"] is not None else summary.get("psnr_held_out")


def _fit(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Compute a cell whose folder is claimed; an error is recorded there before it goes on."""
    if cfg.rerun:
        runs.start_over(folder)
    choices = HydraConfig.get().runtime.choices
    known = runs.description(cfg, choices) | runs.provenance(cfg, choices)
    try:
        runs.begin(folder, known)
        restoration = _restore(cfg, choices, folder)
    except Exception as error:
        runs.record_failure(folder, known, error)
        raise
    summary = restoration.summary
    if summary["status"] == "failed":
        runs.write_atomic(folder / runs.ERROR, f"{summary['error']}\n".encode())
    _say(summary, folder / f"{restoration.answer}.png")
    if summary["status"] == "interrupted":  # "interrupted by SIGINT": 130, as shells count
        raise SystemExit(128 + signal.Signals[summary["stop_reason"].split()[-1]])
    return summary


def _restore(cfg: DictConfig, choices: DictConfig, folder: Path) -> Any:
    """The fit, with its share of the machine.

    Raises:
        ValueError: the memory is too small.
    """
    from dip_lab import speed

    speed.free_memory()
    speed.tune_allocator()
    speed.use_threads(cfg.threads)
    speed.use_gpu(cfg.gpu, HydraConfig.get().job.get("num"))
    from dip_lab.experiment import fit

    try:
        return fit(cfg, choices, folder)
    except Exception as error:
        failed = speed.out_of_memory(error)
        if failed is None:
            raise
        raise ValueError(f"out of memory: {one_line(failed)}: a smaller data.size or net.width needs less") from error


def _say(summary: dict[str, Any], path: Path) -> None:
    """The short table at the end of a fit."""
    observed = "" if summary["psnr_observed"] is None else f" (observation {summary['psnr_observed']:.2f})"
    units = {"psnr": f"{{:.2f}} dB{observed}", "psnr_hole": "{:.2f} dB in the hole", "psnr_y": "{:.2f} dB on Y",
             "ssim": "{:.4f}", "temporal_error": "{:.4f}", "warping_error": "{:.4f}", "qabf": "{:.4f}",
             "ssim_sources": "{:.4f}", "vif": "{:.4f}",
             "psnr_peak": f"{{:.2f}} dB at iteration {summary['peak_iteration']} (needs the target)"}
    width = max(10, *(len(key) for key in units if summary.get(key) is not None), 0)
    rows = {key: unit.format(summary[key]) for key, unit in units.items() if summary.get(key) is not None}
    pace = ""
    if summary["iterations"]:  # a baseline has none
        rows["iteration"] = f"{summary['chosen_iteration']} of {summary['iterations']}: {summary['stop_reason']}"
        pace = f" ({summary['seconds_per_iteration']:.3f} an iteration)"
    rows["seconds"] = f"{summary['seconds']:.1f}{pace}"
    rows["picture"] = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    film = path.with_suffix(".mp4")
    if film.exists():
        rows["film"] = rows["picture"].removesuffix(".png") + ".mp4"
    for key, text in rows.items():  # plain lines: a table of rich cuts the path off at the terminal's width
        print(f"{key:<{width}} {text}")


def explain(error: BaseException, arguments: list[str]) -> str:
    """One line for a mistake in the overrides, with the nearest key or option where there is one."""
    text = one_line(error)
    listed = re.search(r"Could not load '([\w/]+)/(\w+)'", text)  # one of a list, such as regularizer=[tv,egde]
    if listed and (known := list(options(listed[1]))):
        near = difflib.get_close_matches(listed[2], known, n=1)
        hint = f"{listed[1]}={listed[2]}: did you mean {near[0]}? " if near else ""
        return f"{hint}{listed[1]} is one of {', '.join(known)}"
    if isinstance(error, MissingConfigException) and error.options is not None:
        wanted = re.search(r"Could not find '([^']+)'", text)
        group, _, option = (wanted[1] if wanted else error.missing_cfg_file or "").rpartition("/")
        near = difflib.get_close_matches(option, error.options, n=1)
        hint = f"{group}={option}: did you mean {near[0]}? " if near else ""
        if (group, option) == ("hydra/sweeper", "optuna"):
            return "hydra/sweeper=optuna needs packages of its own: pip install -e '.[search]'"
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
    known += [f"task/{group}" for group in ("noise", "mask", "kernel", "observe", "psf", "sampling", "operators")]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    last = [k for k in known if re.split(r"[./]", k)[-1] == key.split(".")[-1]]  # sigma=50 means task.sigma=50
    return near[0] if near else last[0] if last else None


def _keys(tree: Any, prefix: str = "") -> Any:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield prefix + str(key)
        yield from _keys(value, f"{prefix}{key}.")


def expand_pictures(arguments: list[str]) -> list[str]:
    """`-m data=denoise9` without a name, or `data.name=glob(kodim*)`: one cell for each such picture.

    Of a folder (`data=folder data.path=...`), or of the groups in one (`data=pairs`), as of a data set.
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
    elif "separators" in source:
        names = list(groups_in(source.path, source.separators))
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
    names_a_file = key.endswith((".path", ".root", ".init_from", ".observation", ".guide", ".tables"))
    if names_a_file and value and os.path.exists(os.path.expanduser(value)):
        return f"{key}={quoted(value)}"
    return argument


def quoted(text: str) -> str:
    """A string literal of Hydra's grammar, in which a backslash is only special before a quote.

    >>> print(quoted("it's"))
    'it\\'s'
    """
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), text) + "'"


def register_plugins() -> None:
    """Tell Hydra of our sweeper and launcher: an editable install hides them from its own search."""
    plugins = Plugins.instance()
    plugins.register(sweeper.CellSweeper)
    if local.LocalLauncher:
        plugins.register(local.PatientLocalLauncher)


def main() -> int:
    """Exit code: 0 done, 1 a cell of a sweep failed, 2 a mistake at the prompt, 128 + n ended by signal n."""
    if {"--help", "-h"} & set(sys.argv[1:]):  # Hydra's own reads every file of every group twice
        print(help_text())
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands us the error instead of printing it
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # else "[repeated 3x across cluster]" hides what cells say
    try:
        register_plugins()
        # Flags first: argparse, in Hydra, understands overrides on one side of `-m` only.
        arguments = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))
        sys.argv[1:] = map(quote_path, expand_pictures(expand_shadow(arguments)))
        job()
    except MISTAKES as error:
        if FULL_ERROR:
            raise
        print(explain(error, sys.argv[1:]), file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "Unknown plugin class" not in str(error):  # Hydra's words
            raise
        print("this launcher needs packages of its own: pip install -e '.[launchers]'", file=sys.stderr)
        return 2
    except (SystemExit, KeyboardInterrupt) as ended:
        if sweep.ended:
            sweep.conclude()
        raise ended if isinstance(ended, SystemExit) else SystemExit(130) from None
    return int(any(status == "failed" for status, _ in sweep.ended))
