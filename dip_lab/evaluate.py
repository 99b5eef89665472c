"""The command that runs trained restorers on test sets and writes one table: `scripts/evaluate.py`."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from dip_lab.catalogue import options
from dip_lab.checks import one_line
from dip_lab.compose import cells_of, resolved
from dip_lab.instantiate import instantiate
from dip_lab.mistakes import MISTAKES, building, explained, unexpected
from dip_lab.plain import printable
from dip_lab.runs.files import from_here, write_text
from dip_lab.runs.folder import read_result, record_failure
from dip_lab.spelling import own_configs, quoted
from dip_lab.tables import evaluation as tables
from dip_lab.tables.evaluation import KAIR, OURS, Column, Value
from dip_lab.tables.paper_table import Planned, planned
from dip_lab.training.identity import RECORD
from dip_lab.utf8 import use_utf8

HELP = """\
Trained restorers on whole test sets, in one table beside published means and DIP's results on the same observations:

    python scripts/evaluate.py outputs/train/<run> data=set12,bsd68 task.sigma=15,25,50
    python scripts/evaluate.py outputs/train/<run> weights/dncnn_25.pth bm3d faithful=true
    python scripts/evaluate.py outputs/train/<run> data=folder data.path=photos data.clean=true --pictures

A restorer is a run of scripts/train.py, a file of weights, or an option of configs/baseline such as dncnn or nlm. Every
picture is an ordinary cell of run.py below outputs/evaluation; those that are done are not computed again. All other
arguments are overrides of run.py, with faithful=true for KAIR's protocol beside ours: noise that is not clipped, the
answer rounded to 8 bits.
"""
DEFAULTS = {"data": "set12", "name": "evaluation", "logger": "none"}
NAME = "evaluation"  # of the tables
SIGMA = "task.sigma=25"


@dataclass(frozen=True, eq=False)
class Job:
    """One picture for one restorer."""

    method: str
    column: Column
    cell: Planned
    cfg: DictConfig


def main() -> int:
    """Exit code: 0 done, 1 something that nobody foresaw, 2 a mistake at the prompt, 130 interrupted."""
    use_utf8()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        evaluate(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        print(printable(unexpected(error)), file=sys.stderr)
        return 1
    return 0


def evaluate(arguments: Sequence[str]) -> None:
    """Run what is left, then write and print the table.

    Raises:
        ValueError: a restorer cannot be read, or was not trained for this; an override is wrong.
    """
    parser = argparse.ArgumentParser(description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("restorers", nargs="*", metavar="restorer or override")
    parser.add_argument("--pictures", action="store_true", help="a table of the single pictures for each column, too")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where the runs are (default: outputs)")
    parser.add_argument("-cd", "--config-dir", help="a folder of your own configs, as that of run.py")
    args = parser.parse_intermixed_args(arguments)
    names = [text for text in args.restorers if "=" not in text or os.path.exists(text)]
    overrides = [text for text in args.restorers if text not in names]
    jobs = jobs_of(names, overrides, args.outputs, own_configs(args.config_dir))
    results = compute(jobs)
    observations = {str(result["observation"]): (job.column, job.cell.picture)
                    for job, result in zip(jobs, results, strict=True)}
    ours = [value for job, result in zip(jobs, results, strict=True)
            if (value := tables.value_of(result, job.method, job.column, job.cell.picture))]
    write_tables([*ours, *tables.of_dip(args.outputs, observations)], jobs, args.pictures)


def jobs_of(names: Sequence[str], overrides: Sequence[str], outputs: Path, own: Sequence[str] = ()) -> list[Job]:
    """All pictures of all restorers, under one protocol or under both.

    Raises:
        ValueError: a restorer cannot be read, an override is wrong, or there is nothing to evaluate.
    """
    if not names:
        raise ValueError("give a restorer: the folder of a run of scripts/train.py, a file of weights, or an option of "
                         "configs/baseline such as dncnn")
    faithful = [text for text in overrides if text.startswith("faithful=")]
    if faithful and faithful[-1].lower() not in ("faithful=true", "faithful=false"):
        raise ValueError(f"{faithful[-1]}: choose true or false")
    protocols = [OURS, KAIR] if faithful and faithful[-1].lower() == "faithful=true" else [OURS]
    given = [text for text in overrides if text not in faithful]
    for key in ("baseline", "net"):
        if any(text.startswith(f"{key}=") for text in given):
            raise ValueError(f"{key}=...: name restorers without a key, such as dncnn or outputs/train/<run>")
    for key, value in DEFAULTS.items():
        given = given if any(text.startswith(f"{key}=") for text in given) else [f"{key}={value}", *given]
    if not any(text.startswith(("task=", "task/noise=", "task.sigma=", "task.noise.")) for text in given):
        given.append(SIGMA)
    if KAIR in protocols and any(text.startswith("task/noise=") for text in given):
        raise ValueError("faithful=true has a noise law of its own: leave task/noise=... out")
    jobs = []
    for name, label in labelled(names).items():
        chosen = [f"baseline={name}"] if is_option(name) else ["baseline=trained",
                                                               f"baseline.checkpoint={quoted(name)}"]
        for protocol in protocols:
            law = ["task/noise=kair"] if protocol == KAIR else []
            jobs += _composed(label, protocol, [*own, *chosen, *law, *given], outputs)
    return jobs


def _composed(label: str, protocol: str, overrides: Sequence[str], outputs: Path) -> list[Job]:
    with explained(overrides):
        configs = cells_of(overrides)
    with building():
        instantiate(configs[0].baseline)  # what cannot be read is refused before anything is computed
        cells = [planned(resolved(cfg), dict(cfg.hydra.runtime.choices), outputs / str(cfg.name)) for cfg in configs]
    return [Job(label, tables.column_of(cell, protocol), cell, cfg) for cell, cfg in zip(cells, configs, strict=True)]


def is_option(name: str) -> bool:
    """Whether it is an option of configs/baseline, and no file or folder here."""
    return name in options("baseline") and not os.path.exists(name)


def labelled(names: Sequence[str]) -> dict[str, str]:
    """{what was typed: how the table calls it}.

    The network and the optimiser of a training, or the last part of a path; where two have the same, the whole path.
    """
    short = {name: name if is_option(name) else _trained(Path(name)) if os.path.isdir(name) else Path(name).stem
             for name in names}
    return {name: label if list(short.values()).count(label) == 1 else name for name, label in short.items()}


def _trained(folder: Path) -> str:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return f"{record['net']}, {record['optimizer']}"
    except (OSError, ValueError, KeyError, TypeError):  # not ended yet, or the folder of another program
        return folder.name


def compute(jobs: Sequence[Job]) -> list[Mapping[str, Any]]:
    """The results of all jobs; those that are done are only read, unless rerun=true.

    The first picture of each column comes first, so that what cannot work is said at once.

    Raises:
        ValueError: a restorer was not trained for this.
    """
    from tqdm import tqdm

    results = {job: job.cell.result for job in jobs if job.cell.status == "done" and not job.cfg.rerun}
    left = [job for job in jobs if job not in results]
    first = {(job.method, job.column): job for job in reversed(left)}
    ordered = dict.fromkeys([*reversed(first.values()), *left])
    for job in tqdm(ordered, desc="pictures", leave=False, disable=None):  # None: no bar without a terminal
        results[job] = _computed(job)
    return [results[job] for job in jobs]


def _computed(job: Job) -> Mapping[str, Any]:
    from dip_lab.api import fit_in

    folder, cell = job.cell.folder, job.cell.cell
    try:
        return fit_in(job.cfg, folder).summary
    except Exception as error:
        record_failure(folder, (read_result(folder) or {}) | cell.description | cell.provenance, error)
        raise


def write_tables(values: Sequence[Value], jobs: Sequence[Job], pictures: bool) -> None:
    """evaluation.md, evaluation.csv and report.html in the group's folder, and the table on the terminal."""
    from dip_lab.tables.report import write_report  # imports Pillow

    names: dict[Column, set[str]] = {}
    for job in jobs:
        names.setdefault(job.column, set()).add(job.cell.picture)
    sizes = {column: len(names[column]) for column in sorted(names, key=_place)}
    quoted_means = tables.published(sizes)
    text = tables.page(values, quoted_means, sizes, pictures)
    group = jobs[0].cell.folder.parent
    write_text(group / f"{NAME}.md", text)
    write_text(group / f"{NAME}.csv", tables.as_csv([*values, *tables.means_of(values), *quoted_means]))
    print(text)
    page = write_report(group)
    print("->", printable(f"{from_here(group / f'{NAME}.md')}, {from_here(page)}"))


def _place(column: Column) -> tuple:
    return column.data, column.sigma or 0, column.protocol != OURS
