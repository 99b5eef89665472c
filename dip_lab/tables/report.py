"""A group's cells as one page that opens from disk, report.html, made from their files alone. No torch."""

import base64
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dip_lab.checks import LARGEST
from dip_lab.runs.files import write_text
from dip_lab.runs.folder import ERROR
from dip_lab.scores import Score, duration, judged
from dip_lab.tables.album import RESTORED, Album, film_of, shown_pictures
from dip_lab.tables.cells import GROUPS, Row, read_cells, varied
from dip_lab.tables.compare import scores_of

PAGE = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
POINTS = 300  # of one curve
ERROR_END = 20_000  # characters of error.txt: its end says what happened
FEW = 24  # values that a select can offer
OPEN = ("running", "unfinished")  # cells whose files may still change


def write_report(group: Path, watch: float | None = None, album: Album | None = None) -> Path:
    """Write report.html into a group's folder; with `watch`, the page reloads itself every `watch` seconds.

    Raises:
        ValueError: there is no cell in the folder.
    """
    return _write(group, read_cells(group), watch, album or Album())


def _write(group: Path, cells: Sequence[Row], watch: float | None, album: Album) -> Path:
    path = group / PAGE
    write_text(path, rendered(group.resolve().name, cells, watch, album))
    return path


def watch_report(group: Path, seconds: float, album: Album) -> Iterator[str]:
    """Write the page at once, and again after every `seconds` if there is news; yields a line for each, without end.

    The page reloads itself, until `write_report` writes one that does not.
    """
    last = None
    while True:
        cells = read_cells(group)
        news = signature(cells)
        if news != last or any(cell.status in OPEN for cell in cells):
            path, last = _write(group, cells, seconds, album), news
            yield f"{datetime.now():%H:%M:%S}  {counted(cells)}  {size_of(path)}"
        time.sleep(seconds)


def signature(cells: Iterable[Row]) -> list[tuple]:
    """Differs when the cells, or the times of their results and curves, do."""
    return [(cell.folder.name, cell.status, *(_changed(cell.folder / name) for name in ("result.json", "history.csv")))
            for cell in cells]


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def size_of(path: Path) -> str:
    """A file and its size, as printed at the end."""
    return f"{path} ({path.stat().st_size / 1e6:.2f} MB)"


def counted(cells: Iterable[Row]) -> str:
    """How many are done, failed, running ..."""
    return ", ".join(f"{number} {status}" for status, number in sorted(Counter(c.status for c in cells).items()))


def rendered(name: str, cells: Sequence[Row], watch: float | None, album: Album) -> str:
    """The page's text."""
    keys = varied(cells)
    labels = labels_of(cells, keys)
    curves = [curves_of(cell) for cell in cells]
    pictures, thumbnails = shown_pictures(cells, album)
    configs = differing([flat(cell.result["config"]) if "config" in cell.result else None for cell in cells])
    scores = scores_of(cells)
    figures = [figures_of(cell, curve, scores) for cell, curve in zip(cells, curves, strict=True)]
    columns = columns_of(cells, keys, figures, scores)
    entries = [
        {"name": cell.folder.name, "label": label, "status": cell.status, "pictures": shown, "config": config,
         "film": film_of(cell),
         "keys": {key: text(cell.value(key)) for key in keys},
         "problem": [text(cell.value(key)) for key in ("task", "picture", "noise")],
         "curve": thinned(curve, cell.value("chosen_iteration"), cell.value("peak_iteration"))}
        for cell, label, curve, shown, config in zip(cells, labels, curves, pictures, configs, strict=True)
    ]
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return environment().get_template("report.html.j2").render(
        name=name,
        made=f"{datetime.now().astimezone():%Y-%m-%d %H:%M}",
        watch=watch,
        counts=Counter(cell.status for cell in cells),
        fit_time=duration(sum(figure["seconds"] or 0 for figure in figures)),
        columns=columns,
        rows=[[table_field(cell, column, figure) for column in columns]
              for cell, figure in zip(cells, figures, strict=True)],
        entries=entries,
        said=[said_of(figure, scores) for figure in figures],
        oracles=[bool(cell.value("oracle")) for cell in cells],
        selects=[(key, values) for key in keys if 1 < len(values := values_of(entries, key)) <= FEW],
        colours=[*keys, "cell"],
        colour=next((key for key in ("net", "baseline", *keys) if key in keys), "cell"),
        failures=[failure(cell, label) for cell, label in zip(cells, labels, strict=True) if cell.result.get("error")
                  or cell.status == "failed"],
        restored=RESTORED,
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=embedded({"name": name, "watch": watch, "cells": entries, "scores": judged(scores), "restored": RESTORED,
                       "thumbnails": {key: thumbnail.uri for key, thumbnail in thumbnails.items()}}),
    )


def environment() -> Environment:
    """Everything that is not Markup is escaped, whatever a picture or a folder is called."""
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)


def embedded(value: Any) -> Markup:
    """JSON that cannot end the <script> it stands in.

    >>> embedded("</script>&")
    Markup('"\\\\u003c/script\\\\u003e\\\\u0026"')
    """
    said = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII: U+2028 is escaped as well
    for sign in "<>&":
        said = said.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(said)


def labels_of(cells: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """A short name of each cell: the varied keys that tell it from others, and its hash where they do not."""
    telling: list[str] = []
    for key in keys:
        if len(set(_values(cells, [*telling, key]))) > len(set(_values(cells, telling))):
            telling.append(key)
    names = [", ".join(_named(key, cell.value(key)) for key in telling if cell.value(key) is not None) or cell.method
             for cell in cells]
    known = Counter(names)
    return [name if known[name] == 1 else f"{name}, {cell.value('config_hash') or cell.folder.name}"
            for name, cell in zip(names, cells, strict=True)]


def _values(cells: Sequence[Row], keys: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(str(cell.value(key)) for key in keys) for cell in cells]


def _named(key: str, value: Any) -> str:
    return text(value) if key in (*GROUPS, "picture") else f"{key} {text(value)}"


def text(value: Any) -> str:
    """A setting as a person reads it; empty where there is none."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def number(value: Any) -> float | int | None:
    """The value if it can be sorted and drawn as a number, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
    return value if is_number else None


def figures_of(cell: Row, curve: dict[str, list], scores: Mapping[str, Score]) -> dict[str, float | int | None]:
    """Scores and costs; for a cell without a result, how far its curves go."""
    figures = {key: number(cell.result.get(key)) for key in scores}
    if curve and cell.status != "done":
        for key, column in (("iterations", "iteration"), ("seconds", "seconds")):
            figures[key] = curve[column][-1] if figures[key] is None else figures[key]
    return figures


def said_of(figures: Mapping[str, Any], scores: Mapping[str, Score]) -> list[str]:
    """The scores below a picture, each with its name and unit; the PSNR, which needs no name, first."""
    names = {key: "" if key == "psnr" else f"{scores[key].name} " for key in judged(scores) if scores[key].terminal}
    return [name + scores[key].measured(figures[key]) for key, name in names.items() if figures[key] is not None]


def columns_of(cells: Sequence[Row], keys: Sequence[str], figures: Sequence[dict],
               scores: Mapping[str, Score]) -> list[dict[str, Any]]:
    """The columns of the table: what varies, the status, and the figures that any cell has.

    The `telling` one links a row to its pictures: it has the most values.
    """
    keys = [*keys] or ["cell"]
    values = {key: [value for cell in cells if (value := cell.value(key)) is not None] for key in keys}
    telling = max(keys, key=lambda key: len(set(map(str, values[key]))))  # it names the row
    columns = [{"key": key, "title": key, "note": "", "telling": key == telling,
                "numeric": all(number(value) is not None for value in values[key])} for key in keys]
    columns += [{"key": "status", "title": "status", "note": "", "telling": False, "numeric": False}]
    columns += [{"key": key, "title": score.name, "note": ", ".join(filter(None, (score.unit, score.note))),
                 "telling": False, "numeric": True, "decimals": score.decimals}
                for key, score in scores.items()
                if score.reported and any(row[key] is not None for row in figures)]
    return columns


def table_field(cell: Row, column: dict[str, Any], figures: dict) -> dict[str, Any]:
    """What a field shows and what it is sorted by."""
    if "decimals" not in column:
        value = cell.value(column["key"])
        return {"text": text(value), "value": text(value) if number(value) is None else value}
    value = figures[column["key"]]
    return {"text": "" if value is None else f"{value:,.{column['decimals']}f}".replace(",", "\u2009"),
            "value": "" if value is None else value}


def values_of(entries: Iterable[dict], key: str) -> list[str]:
    """The values of a varied key, in the order of the cells."""
    return list(dict.fromkeys(entry["keys"][key] for entry in entries))


def failure(cell: Row, label: str) -> dict[str, str]:
    """A failed cell's error, and where it happened."""
    try:
        trace = (cell.folder / ERROR).read_text(encoding="utf-8", errors="replace")
    except OSError:
        trace = ""
    error = text(cell.result.get("error")) or "no error was written"
    return {"label": label, "folder": cell.folder.name, "error": error, "trace": trace[-ERROR_END:]}


def curves_of(cell: Row) -> dict[str, list]:
    """The curves of a cell; {} while there are none."""
    curves = cell.curves()
    rows = [i for i, iteration in enumerate(curves.get("iteration", [])) if number(iteration) is not None]
    return {key: [number(values[i]) for i in rows] for key, values in curves.items()} if rows else {}


def thinned(curves: dict[str, list], chosen: int | None, peak: int | None) -> dict[str, Any] | None:
    """At most POINTS rows of the curves, with the chosen iteration and the peak among them as places in the rows.

    The PSNR is that of the average where there is one, as everywhere in the results.
    """
    if not curves:
        return None
    iterations = curves["iteration"]
    last = len(iterations) - 1
    even = {round(i * last / (POINTS - 3)) for i in range(POINTS - 2)} if last >= POINTS else set(range(last + 1))
    marks = {name: min(range(last + 1), key=lambda i: abs(iterations[i] - at))
             for name, at in (("chosen", chosen), ("peak", peak)) if number(at) is not None}
    kept = sorted(even | set(marks.values()))
    psnr = [output if average is None else average
            for output, average in zip(curves["psnr"], curves["psnr_average"], strict=True)]
    return {
        "iteration": [int(iterations[i]) for i in kept],
        "seconds": [_rounded(curves["seconds"][i], 6) for i in kept],
        "loss": [_rounded(curves["loss"][i], 4) for i in kept],
        "psnr": [_rounded(psnr[i], 5) for i in kept],
        **{name: kept.index(at) for name, at in marks.items()},
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")


def flat(config: Any, key: str = "") -> dict[str, Any]:
    """A nested config as {dotted key: value}.

    >>> flat({"net": {"width": 4}, "seeds": [0, 1], "regularizer": {}})
    {'net.width': 4, 'seeds': [0, 1], 'regularizer': {}}
    """
    if not isinstance(config, dict) or not config:
        return {key: config} if key else {}
    return {name: value for part, child in config.items()
            for name, value in flat(child, f"{key}.{part}" if key else str(part)).items()}


def differing(configs: Sequence[dict[str, Any] | None]) -> list[dict[str, str] | None]:
    """The configs without what is the same in all of them, as text; None stays None."""
    known = [config for config in configs if config is not None]
    keys = dict.fromkeys(key for config in known for key in config)
    said = [{key: json.dumps(value, sort_keys=True) for key, value in config.items()} for config in known]
    differs = {key for key in keys if len({config.get(key) for config in said}) > 1}
    return [None if config is None else {key: json.dumps(value, sort_keys=True) for key, value in config.items()
                                         if key in differs} for config in configs]
