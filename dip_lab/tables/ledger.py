"""The ledger of published cells: small files, one for each finished cell, and the page docs/published.md made of them.

Cells that were run on different days and machines add up here. A file holds scores, time, machine and versions, and no
picture. No torch.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dip_lab.runs.files import write_text
from dip_lab.tables.grid import as_markdown
from dip_lab.tables.paper_table import Planned

SHORT = 0.3  # dB: a cell that is not further below the published value counts as reproduced
KEPT = ("iterations", "psnr_peak", "peak_iteration", "seconds", "seconds_per_iteration", "device", "precision",
        "versions", "seed", "picture", "config_hash")
MISSES = "misses.yaml"
HEADER = """\
# The ledger of published cells

Made by `python scripts/table.py <experiment> --add` from the files in `docs/published/`: do not edit. A cell is one
picture of one published table, restored with the published settings. It counts as reproduced if it is no more than
{short} dB below the published value, or above it. Seconds are those of the run, beside whatever else the machine did:
the cells of the H200 ran twelve at once. How to run cells: [published_tables.md](published_tables.md).
"""


def entry_of(cell: Planned, experiment: str) -> dict[str, Any]:
    """What the ledger keeps of a finished cell of an experiment: its scores, beside the published values of its rows.
    """
    table = cell.config.get("table") or {}
    rows = []
    for row in table.get("rows") or ():
        if "key" in row and cell.fits(row.get("cell") or {}) and cell.result.get(row["key"]) is not None:
            published = dict(zip(table["pictures"], row.get("published") or (), strict=False)).get(cell.picture)
            rows.append({"row": row["name"], "key": row["key"], "ours": cell.result[row["key"]],
                         "published": published})
    given = cell.result.get("overrides") or {}
    scores = {key: value for key, value in cell.result.items()
              if key.startswith(("psnr", "ssim")) and isinstance(value, (int, float))}
    return {"experiment": experiment, "cell": cell.folder.name, "method": cell.result.get("baseline") or "DIP",
            "net": cell.result.get("net"), "added": date.today().isoformat(), "rows": rows, "scores": scores,
            "overrides": {key: value for key, value in given.items() if not str(value).startswith(("/", "~"))},  # paths
            **{key: cell.result.get(key) for key in KEPT}}


def add(cells: Sequence[Planned], experiment: str, folder: Path, because: str | None) -> list[Path]:
    """Write the files of finished cells; one that is there already, with the same scores, stays as it is.

    Args:
        cells: those of the experiment; only the finished ones count.
        experiment: its name, such as paper/denoise25.
        folder: the ledger's, docs/published.
        because: why cells that are there may be replaced.

    Raises:
        ValueError: no cell is finished; the ledger has another result for a cell and `because` is None.
    """
    done = [entry_of(cell, experiment) for cell in cells if cell.status == "done"]
    if not done:
        raise ValueError(f"no cell of {experiment} is finished: run it first")
    known, written = read(folder), []
    for entry in done:
        others = [other for other in known if _same_place(other, entry)]
        if any(other["scores"] == entry["scores"] for other in others):
            continue
        if others and because is None:
            raise ValueError(f"{experiment}, {entry['picture']}, seed {entry['seed']}: the ledger has "
                             f"{_said(others[0])}, this run {_said(entry)}: give --because 'the reason' to replace it")
        for other in others:
            before = {"scores": other["scores"], "added": other["added"], "because": because}
            entry["replaced"] = [*other.get("replaced", []), before]
            _file(folder, other).unlink()
        write_text(_file(folder, entry), json.dumps(entry, indent=1) + "\n")
        written.append(_file(folder, entry))
    return written


def read(folder: Path) -> list[dict[str, Any]]:
    """All entries, by experiment and cell.

    Raises:
        ValueError: a file is not one of the ledger's.
    """
    entries = []
    for path in sorted(folder.glob("*/*.json")):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            entry["experiment"], entry["rows"], entry["scores"], entry["method"], entry["picture"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a file of the ledger: remove it, and add its cell again") from error
        entries.append(entry)
    return entries


def _file(folder: Path, entry: Mapping[str, Any]) -> Path:
    return folder / entry["experiment"].replace("/", "_") / f"{entry['cell']}.json"


def _same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both would stand in the same place of a table."""
    def place(entry: Mapping[str, Any]) -> tuple:
        return (*(entry[key] for key in ("experiment", "picture", "seed", "method", "net")),
                sorted(row["row"] for row in entry["rows"]))

    return place(one) == place(other)


def _said(entry: Mapping[str, Any]) -> str:
    row = next(iter(entry["rows"]), None)
    return f"{_number(row['ours'] if row else entry['scores'].get('psnr'))} dB"


def page(folder: Path) -> str:
    """docs/published.md: the counts, then a table for each experiment."""
    entries = read(folder)
    path = folder / MISSES
    reasons = OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else {}
    parts = [HEADER.format(short=SHORT), _summary(entries)]
    for experiment in dict.fromkeys(entry["experiment"] for entry in entries):
        mine = [entry for entry in entries if entry["experiment"] == experiment]
        parts.append(f"## {experiment}\n")
        parts.append(_table(mine, reasons.get(experiment) or {}))
        parts += [f"Replaced: {entry['picture']}, seed {entry['seed']}, was {_number(before['scores'].get('psnr'))} dB "
                  f"until {entry['added']}: {before['because']}.\n"
                  for entry in mine for before in entry.get("replaced", [])]
    return "\n".join(parts)


def _summary(entries: Iterable[Mapping[str, Any]]) -> str:
    """How many published values were reached: by fits, by other methods, and where a given picture was only scored."""
    kinds: dict[str, list[bool]] = {
        "DIP": [], "other methods": [], "only scored: observations, the authors' pictures": []}
    for entry in entries:
        for row in entry["rows"]:
            scored = entry["method"] == "published" or row["key"] == "psnr_observed"
            kind = list(kinds)[2 if scored else entry["method"] != "DIP"]
            if row["published"] is not None:
                kinds[kind].append(_reached(row))
    return as_markdown(["", "published cells run", "reproduced", "missed"],
                       [[kind, str(len(cells)), str(sum(cells)), str(len(cells) - sum(cells))]
                        for kind, cells in kinds.items()])


def _reached(row: Mapping[str, Any]) -> bool:
    return row["ours"] >= row["published"] - SHORT


def _table(entries: Sequence[Mapping[str, Any]], reasons: Mapping[str, Any]) -> str:
    header = ["", "picture", "seed", "published", "ours", "deviation", "iterations", "seconds", "made on", "why missed"]
    lines = []
    for entry in entries:
        rows = entry["rows"] or [{"row": entry["net"] or entry["method"], "ours": entry["scores"].get("psnr"),
                                  "published": None}]
        for row in rows:
            missed = row["published"] is not None and not _reached(row)
            why = (reasons.get(row["row"]) or {}).get(entry["picture"], "not explained") if missed else ""
            lines.append([row["row"], entry["picture"], str(entry["seed"]), _number(row["published"]),
                          _number(row["ours"]), "" if row["published"] is None else
                          f"{row['ours'] - row['published']:+.2f}", str(entry["iterations"] or ""),
                          "" if entry["seconds"] is None else f"{entry['seconds']:.0f}", _machine(entry), why])
    return as_markdown(header, sorted(lines))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _machine(entry: Mapping[str, Any]) -> str:
    device = entry["device"] or "CPU"
    torch = (entry["versions"] or {}).get("torch", "").split("+")[0]
    kind = device if "NVIDIA" in device else "CPU"
    return ", ".join(filter(None, [kind, entry["precision"], torch and f"torch {torch}"]))
