"""Who may import whom: what the command line and the tables need comes without torch, and nothing imports upwards."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dip_lab"
SOURCES = ("source", "file", "folder", "collection", "pairs", "sources", "phantom", "sample", "array", "video",
           "noisy_pairs")
FORMATS = ("format", "png", "tiff", "webp", "jpeg")
LIGHT = ["cli", "mistakes", "compose", "spelling", "catalogue", "scores", "sweep", "search", "runs.identity",
         "results.summary", *(f"tables.{path.stem}" for path in (PACKAGE / "tables").glob("[a-z]*.py")),
         *(f"data.{name}" for name in SOURCES), *(f"answers.{name}" for name in FORMATS)]


def imports_of(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_what_the_prompt_and_the_tables_need_comes_without_torch():
    code = f"import sys\nfor name in {LIGHT}: __import__('dip_lab.' + name)\nprint('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert ended.stdout.strip() == "False", ended.stderr


def test_only_build_reads_the_config():
    """Those that compose it, or hand it to build, name the type; nothing behind build does."""
    named = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "DictConfig" in path.read_text()}
    assert named == {"api.py", "build.py", "cli.py", "compose.py", "evaluate.py", "experiment.py", "instantiate.py",
                     "search.py", "sweep.py", "loggers/sweep_table.py", "training/build.py", "training/cli.py",
                     "training/run.py"}


@pytest.mark.parametrize("lower, upper", [
    ("api.py", "dip_lab.cli"), ("problem.py", "dip_lab.build"), ("module.py", "dip_lab.fit"),
    ("tasks", "dip_lab.problem"), ("tasks", "dip_lab.results"), ("data", "dip_lab.tasks"), ("nets", "dip_lab.problem"),
    ("latents", "dip_lab.problem"), ("results", "dip_lab.fit"), ("results", "dip_lab.tables"),
    ("results", "dip_lab.answers"), ("results", "dip_lab.data"), ("answers", "dip_lab.problem"),
    ("answers", "dip_lab.results"), ("data", "dip_lab.answers"),
    ("runs", "dip_lab.results"), ("splits", "dip_lab.build"), ("stopping", "dip_lab.results"),
])
def test_nothing_imports_upwards(lower, upper):
    place = PACKAGE / lower
    for path in [place] if place.is_file() else place.rglob("*.py"):
        assert not [name for name in imports_of(path) if name == upper or name.startswith(f"{upper}.")], path


def test_no_module_assigns_the_frames_of_an_operator_or_a_problem():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            assert not [t for t in targets if isinstance(t, ast.Attribute) and t.attr == "frames"], path


def test_the_story_fits_on_a_page():
    assert len((PACKAGE / "experiment.py").read_text().splitlines()) <= 120
