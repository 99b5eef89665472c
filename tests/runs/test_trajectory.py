"""More iterations of a finished fit go on where it ended, bit for bit."""

import logging

import pytest
from test_resume import assert_same

from dip_lab.compose import cell_at
from dip_lab.runs.trajectory import go_on

CASES = {  # (overrides, where the longer fit begins)
    "a rule that is still waiting": (("stopping=wmv", "stopping.patience=55"), 37),
    "a rule that has ended the fit": (("stopping=discrepancy", "stopping.tau=50"), None),
    "no average": (("stopping=fixed", "average=none"), 37),
    "two seeds": (("splits.seeds.count=2", "stopping=fixed"), 37),
}


@pytest.fixture
def longer(compose_tiny, fit_tiny, without_plots, tmp_path):
    """(folder, first iteration of this launch) of a fit of 60 iterations in the group of one of 37."""

    def fit(*overrides, between=lambda shorter: None):
        folders = []
        for iterations in ("iterations=37", "iterations=60"):
            cfg, _ = compose_tiny(*overrides, iterations)
            cell = cell_at(cfg, cfg.hydra, tmp_path / "group" / cell_at(cfg, cfg.hydra, None).name)
            folders.append(cell.folder)
            go_on(cell)
            begun = [int(path.stem) for path in cell.folder.rglob("checkpoints/[0-9]*.pt")]
            fit_tiny(*overrides, iterations, folder=cell.folder)
            between(folders[0])
        return folders[1], max(begun, default=0)

    return fit


@pytest.mark.parametrize("case", CASES)
def test_it_equals_one_that_was_never_ended(case, longer, fit_tiny, tmp_path, caplog):
    overrides, begins = CASES[case]
    with caplog.at_level(logging.INFO):
        folder, begun = longer(*overrides)
    assert begun == begins or begins is None and 0 < begun < 37
    assert "which was fitted with iterations=37" in caplog.text
    fit_tiny(*overrides, "iterations=60", folder=tmp_path / "alone")
    assert_same(folder, tmp_path / "alone")
    snapshots = [sorted(path.name for path in (each / "snapshots").glob("*")) for each in (folder, tmp_path / "alone")]
    assert snapshots[0] == snapshots[1]


@pytest.mark.parametrize("different", ["a schedule of all iterations", "a damaged checkpoint", "a fit that failed"])
def test_it_begins_anew(different, longer, caplog):
    def spoil(shorter):
        if different == "a damaged checkpoint":
            for path in shorter.glob("checkpoints/[0-9]*.pt"):
                path.write_bytes(b"torn")
        if different == "a fit that failed":
            result = (shorter / "result.json").read_text(encoding="utf-8").replace('"done"', '"failed"')
            (shorter / "result.json").write_text(result, encoding="utf-8")

    schedule = "cosine" if different == "a schedule of all iterations" else "constant"
    _, begun = longer("stopping=fixed", f"descent/schedule={schedule}", between=spoil)
    assert begun == 0
    assert ("cannot be continued" in caplog.text) == (different == "a damaged checkpoint")


def test_the_command_line(command):
    tiny = ("baseline=none", "logger=none", "data.size=16", "net=skip_narrow", "net.width=4", "net.depth=2",
            "stopping=fixed", "device=cpu")
    assert "goes on from" not in command(*tiny, "iterations=2")[1]
    assert "goes on from" in command(*tiny, "iterations=3")[1]
    assert "goes on from" not in command(*tiny, "iterations=3", "rerun=true")[1]
