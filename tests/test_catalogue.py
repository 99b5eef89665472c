import re
import subprocess
import sys
from pathlib import Path

import pytest

from dip_lab import catalogue
from dip_lab.compose import compose
from dip_lab.tables import ledger

ROOT = Path(__file__).parents[1]
YAMLS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent != ROOT / "configs")


def test_help_lists_every_option_of_every_group_with_its_line(command):
    code, printed = command("--help")
    assert code == 0
    text = " ".join(printed.split())
    for path in YAMLS:
        group = path.parent.relative_to(ROOT / "configs").as_posix()
        assert f"{group}= " in text
        first = next(line for line in path.read_text().splitlines() if not line.startswith("# @"))
        assert f"{path.stem} {' '.join(first.removeprefix('# ').split())}" in text, path
    assert max(map(len, printed.splitlines())) <= 120


def test_help_comes_before_torch():
    code = ("import sys; sys.argv = ['run.py', '--help']; from dip_lab.cli import main; "
            "main(); print({'torch', 'pytorch_lightning', 'matplotlib'} & set(sys.modules))")
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "set()" and "deep_decoder" in ended.stdout


def test_the_table_in_the_docs_is_that_of_the_configs():
    text = (ROOT / "docs" / "networks.md").read_text()
    block = re.search(r"<!-- generators -->\n(.*?)\n<!-- /generators -->", text, re.DOTALL)
    assert block[1] == catalogue.generators_table(), "the table is stale, run: python scripts/update_docs.py"


@pytest.mark.parametrize("net", list(catalogue.options("net")))
def test_the_table_names_the_latent_that_is_composed(net):
    row = next(line for line in catalogue.generators_table().splitlines() if line.startswith(f"| `{net}` |"))
    assert row.endswith(f" {compose([f'net={net}']).hydra.runtime.choices.latent} |")


def test_the_page_of_the_ledger_is_fresh():
    docs = ROOT / "docs"
    assert (docs / "published.md").read_text(encoding="utf-8") == ledger.page(docs / "published"), \
        "it is stale, run: python scripts/update_docs.py"
