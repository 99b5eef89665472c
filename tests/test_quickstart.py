"""The notebook in scripts/: committed with its outputs, and every cell still runs."""

from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[1] / "scripts" / "quickstart.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_is_committed_with_its_pictures(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    shown = [mime for cell in code for output in cell.outputs for mime in output.get("data", {})]
    assert shown.count("text/html") >= 3 and "image/png" in shown


# What jupyter_client and the kernel's event loop warn about themselves.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
def test_runs(notebook, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    for cell in notebook.cells:
        cell.source = cell.source.replace("iterations=300", "iterations=4")
    done = NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    last = done.cells[-1].outputs[-1]["data"]["text/plain"]
    assert "psnr_hole" in last and "'iterations': 4" in last
