"""The table of a sweep in Weights & Biases. Imports neither torch nor wandb: Hydra imports it before `--help`."""

import csv
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from dip_lab import sweep
from dip_lab.checks import one_line
from dip_lab.loggers.wandb_run import close_run, log_table, open_run, warn_once


class SweepTable(sweep.SweepSummary):
    """Hydra's callback around a multirun, which also shows summary.csv of each group in a W&B run `<group>-summary`.

    A repeated sweep continues that run. This is a subclass and not a second callback, because Hydra calls callbacks at
    the end in reverse order: one added by logger=wandb would run before summary.csv exists.
    """

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        super().on_multirun_end(config, **kwargs)
        for group in dict.fromkeys(folder.parent for _, folder in sweep.ended):
            show_table(config.logger.wandb.project, config.logger.wandb.mode, group)


def show_table(project: str, mode: str, group: Path) -> None:
    """Show the summary.csv of a group's folder in a run of its own; a failure only logs a warning."""
    name = f"{group.name}-summary"
    try:
        run = open_run(project, mode, str(group), group.name, name, name, job_type="summary")
        if run:
            log_table(run, "summary", *read_table(group / "summary.csv"))
            close_run(run)
    except Exception as error:  # summary.csv has it all
        warn_once("Weights & Biases did not take the sweep's table (%s)", one_line(error))


def read_table(path: Path) -> tuple[list[str], list[list[Any]]]:
    """(columns, rows) of a CSV file; columns that hold only numbers become numbers, and empty fields None."""
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = [_typed([row[i] for row in rows]) for i in range(len(header))]
    return header, [list(row) for row in zip(*columns, strict=True)]


def _typed(fields: list[str]) -> list[Any]:
    try:
        return [json.loads(field) if field else None for field in fields]
    except ValueError:
        return [field or None for field in fields]
