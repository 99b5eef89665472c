"""What is said at the end of a sweep: one line, and summary.csv and summary.md in the group's folder. No torch."""

import csv
import io
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from dip_lab.results.stopping_table import cases_of, rules_table
from dip_lab.runs import read_result, write_atomic

COLUMNS = ("task", "net", "baseline", "picture", "seed", "status", "psnr", "ssim", "psnr_hole", "psnr_y", "psnr_peak",
           "psnr_observed", "chosen_iteration", "iterations", "seconds", "parameters", "cell")
ended: list[tuple[str, Path]] = []  # of this process: (done, skipped or failed; the cell's folder)


class SweepSummary(Callback):
    """Hydra's callback around a multirun."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        ended.clear()
        # Hydra does this for each job only, but `hydra.sweep.dir` names the group, and that asks for the task.
        HydraConfig.instance().set_config(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if not ended:
            return
        groups = dict.fromkeys(folder.parent for _, folder in ended)  # -m task=denoise,inpaint fills two
        for group in groups:
            rows = summary_rows(group)
            write_atomic(group / "summary.csv", as_csv(rows).encode())
            write_atomic(group / "summary.md", as_markdown(rows).encode())
            print_table(rows)
            draw_curves(group)
            compare_rules(group)
        counts = {word: sum(status == word for status, _ in ended) for word in ("done", "skipped", "failed")}
        print(", ".join(f"{number} {word}" for word, number in counts.items()), "->",
              ", ".join(str(group / "summary.md") for group in groups))


def draw_curves(group: Path) -> None:
    """curves.png of a group's folder: the PSNR of its cells; nothing without a target."""
    from dip_lab.results.comparison import comparison_png, curves_of  # matplotlib takes a second to import

    curves = curves_of(group)
    if curves:
        write_atomic(group / "curves.png", comparison_png(curves))


def compare_rules(group: Path) -> None:
    """stopping.md of a group's folder: all stopping rules; nothing unless there are several, and a target."""
    cases = cases_of(group)
    if len({rule for case in cases for rule in case.choices}) > 1:
        text = rules_table(cases)
        write_atomic(group / "stopping.md", text.encode())
        print(text)


def summary_rows(group: Path) -> list[dict[str, Any]]:
    """One row for each cell of a group's folder that has a result."""
    rows = []
    for path in sorted(group.glob("*/result.json")):
        result = read_result(path.parent)
        rows.append({**{key: result.get(key) for key in COLUMNS}, "cell": path.parent.name})
    return rows


def as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _shown(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    keys = [key for key in COLUMNS if any(row[key] is not None for row in rows)]
    return keys, [[_cell(row[key]) for key in keys] for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def as_markdown(rows: list[dict[str, Any]]) -> str:
    keys, lines = _shown(rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in (keys, ["---"] * len(keys), *lines)) + "\n"


def print_table(rows: list[dict[str, Any]]) -> None:
    """The summary in the terminal: what differs from cell to cell, and the scores."""
    keys, lines = _shown(rows)
    columns = [column for column in zip(keys, *lines, strict=True)
               if column[0] != "cell" and (column[0] in ("net", "status", "psnr", "ssim") or len(set(column[1:])) > 1)]
    widths = [max(map(len, column)) for column in columns]
    for line in zip(*columns, strict=True):
        print("  ".join(field.ljust(width) for field, width in zip(line, widths, strict=True)).rstrip())
