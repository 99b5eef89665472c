"""Names that would act in a page, a table, a terminal, a log or a path, wherever a person can write one: no effect."""

import csv
import html.parser
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from dip_lab import sweep
from dip_lab.loggers.wandb import start

pytestmark = pytest.mark.campaign
TINY = ("baseline=median", "data.size=16", "logger=none")
NAMES = {
    "script": "<script>alert(1)<／script>", "image": "<img src=x onerror=alert(1)>", "quote": "\"><svg onload=f()>",
    "template": "{{7*7}}${7*7}", "formula": "=1+cmd|'C calc'!A0", "plus": "+1+1", "minus": "-1+1", "at": "@SUM(1)",
    "tab": "\t=1+1", "wide": "＝1+1", "hyperlink": '=HYPERLINK("http:a","b")', "colour": "\x1b[31mred",
    "title": "\x1b]0;title\x07", "clear": "\x1b[2J\x1b[H", "bell": "\x07", "return": "photo\r1 done, 0 failed",
    "c1": "\x9b31mred", "bidi": "\u202egnp.exe", "isolate": "\u2066x\u2069", "line": "photo\n1 done, 0 failed",
    "separator": "a\u2028b", "link": "![x](a)[y](b)", "pipe": "a|b|c", "backtick": "`a`", "latex": "\\input{x}$x$",
    "rich": "[red]x[link=a]", "percent": "%s%n%d", "dots": "....a", "hash": "#a", "tilde": "~root",
}
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Page(html.parser.HTMLParser):
    """Counts the elements of a page that act, and their handlers."""

    def __init__(self):
        super().__init__()
        self.acting = []

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "svg", "iframe", "object"):
            self.acting.append(tag)
        self.acting += [name for name, value in attributes
                        if name.startswith("on") or (name in ("href", "src") and "script:" in (value or ""))]


def page_of(path):
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page.acting


def fault_in(group, said, forged, usual):
    """What a name did in the files of a group and in what was printed; None: nothing."""
    if ACTING.search(said) or forged in said.splitlines():
        return f"terminal: {said!r:.200}"
    for log in group.parent.rglob("dip_lab.log"):
        text = log.read_text(encoding="utf-8")
        if ACTING.search(text) or forged in text.splitlines():
            return f"log: {text!r:.200}"
    for path in group.parent.rglob("*.csv"):
        for row in csv.reader(path.read_text(encoding="utf-8").splitlines()):
            for field in row:
                if ACTING.search(field) or (field.lstrip()[:1] in tuple("=+-@＝") and not is_number(field)):
                    return f"{path.name}: {field!r}"
    for path in group.parent.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        if ACTING.search(text) or re.search(r"<\w|\]\(", text):
            return f"{path.name}: {text!r:.300}"
    if page_of(group / "report.html") != usual:
        return "report.html has another element that acts"
    return None


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def outside(root, before):
    """What was written outside of `outputs`."""
    return [str(path) for path in root.iterdir() if path.name not in (*before, "outputs")]


@pytest.fixture
def usual(command, tmp_path):
    """The elements that act in a page of harmless names."""
    Path("plain").mkdir()
    Image.new("L", (16, 16), 90).save("plain/photo.png")
    code, said = command("-m", "data=folder", "data.path=plain", "name=plain", "seed=0,1", *TINY)
    assert code == 0, said
    return page_of(tmp_path / "outputs" / "plain" / "report.html")


def test_names_of_pictures(command, usual, tmp_path, tally):
    t = tally("a hostile name of a picture: no effect in page, tables, terminal, log, path")
    Path("pictures").mkdir()
    for number, name in enumerate(NAMES.values()):
        Image.new("L", (16, 16), 90 + number).save("picture.png")  # equal pictures would be one cell
        Path("picture.png").rename(Path("pictures", f"{name}.png"))
    before = [path.name for path in tmp_path.iterdir()]
    code, said = command("-m", "data=folder", "data.path=pictures", "name=all", *TINY)
    fault = f"exit code {code}: {said[-200:]}" if code else None
    fault = fault or fault_in(tmp_path / "outputs" / "all", said, "1 done, 0 failed", usual)
    fault = fault or (f"outside: {found}" if (found := outside(tmp_path, before)) else None)
    for kind in NAMES:
        t.add(kind, fault)
    t.conclude()


def test_overrides_that_are_refused(command, tally):
    """The refusal repeats them."""
    t = tally("a hostile text in an override: no effect in the line that refuses it")
    for kind, name in NAMES.items():
        text = name.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
        for override in (f"+data.path='{text}'", f"net.width='{text}'", name):
            code, said = command(override, "data.size=16", "net=skip_narrow", "iterations=1", "logger=none")
            loud = code != 2 or ACTING.search(said) or said.strip().count("\n")
            t.add(f"{kind}, {override!r}", f"exit code {code}: {said!r:.300}" if loud else None)
    t.conclude()


def test_records_of_others(command, usual, tmp_path, tally):
    """Every text of a result.json replaced, as a colleague's folder could have it."""
    t = tally("a hostile text in a record: no effect in page, tables, terminal")
    command("-m", "name=all", f"seed=range(0,{len(NAMES)})", *TINY)
    group = tmp_path / "outputs" / "all"
    for number, (path, name) in enumerate(zip(sorted(group.glob("*/result.json")), NAMES.values(), strict=True)):
        result = json.loads(path.read_text())
        hostile = {key: f"{name}{number}" for key, value in result.items()
                   if isinstance(value, str) and key not in ("status", "answer")}
        hostile |= {"error": name, "overrides": {name: name, "seed": number, "net.width": f"{name}{number}"}}
        path.write_text(json.dumps(result | hostile))
    code, said = command("-m", "name=all", f"seed=range(0,{len(NAMES)})", *TINY, "retry_failed=false")
    _, again = command("-m", "name=all", "seed=0", *TINY)
    sweep.ended[:] = [("done", path.parent) for path in group.glob("*/result.json")]
    sweep.failures.clear()
    sweep.conclude()
    fault = f"{sweep.failures}" if sweep.failures else fault_in(group, said + again, "1 done, 0 failed", usual)
    for kind in NAMES:
        t.add(kind, fault)
    t.conclude()


def test_names_in_weights_and_biases(monkeypatch, tmp_path, tally):
    """The group's name is a part of a run's id, and its folder's name the run's: neither is a path of W&B's."""
    t = tally("a hostile name of a W&B run: its files are in the run's folder")
    import dip_lab.loggers.wandb_run as module

    asked = {}
    monkeypatch.setattr(module, "_init", lambda mode, labels: asked.update(labels))
    for kind, name in {**NAMES, "up": "../../x", "root": "/etc/x"}.items():
        start("project", "offline", str(tmp_path / "run-12345678"), name, "denoise", ["denoise"])
        t.add(kind, None if re.fullmatch(r"[\w-]+", asked["id"], re.ASCII) else asked["id"])
    t.conclude()
