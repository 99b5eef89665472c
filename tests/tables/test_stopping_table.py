"""The table of all stopping rules over a sweep's cells."""

import json

import pytest

from dip_lab.results.verdicts import STOPPING_CSV, Verdict, as_csv
from dip_lab.sweep import compare_rules
from dip_lab.tables.stopping_table import cases_of, gaps, rules_table


def cell(group, name, verdicts, observation="0a", peak=30.0, iterations=1000, **more):
    folder = group / name
    folder.mkdir()
    result = {"status": "done", "picture": "house", "noise": "gaussian", "observation": observation, "net": "skip",
              "latent": "noise", "seed": 0, "psnr_peak": peak, "peak_iteration": 600, "iterations": iterations, **more}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / STOPPING_CSV).write_text(as_csv(verdicts))


def verdict(rule, psnr, chosen, stopped=None, obeyed=False):
    return Verdict(rule, obeyed, chosen, stopped, psnr, None, 0)


@pytest.fixture
def group(tmp_path):
    cell(tmp_path, "a", [verdict("fixed", 27.0, 1000, obeyed=True), verdict("wmv", 29.5, 500, 800),
                         verdict("emv", 28.0, 200, 400)])
    # Another rule's fit of the same observation: it changed the fit, and the others saw a shorter one.
    cell(tmp_path, "b", [verdict("holdout", 29.6, 580, 780, obeyed=True), verdict("wmv", 25.0, 100)], peak=29.7,
         iterations=780)
    cell(tmp_path, "c", [verdict("fixed", 25.0, 1000, obeyed=True), verdict("wmv", 24.0, 700, 900)],
         observation="0b", peak=25.0, noise="poisson")
    return tmp_path


def test_cells_of_one_observation_are_one_case(group):
    first, second = cases_of(group)
    assert (first.name, first.peak, first.peak_iteration) == ("house, gaussian", 30.0, 600)
    assert first.choices == {"fixed": (27.0, 1000, False), "wmv": (29.5, 500, True), "emv": (28.0, 200, True),
                             "holdout": (29.6, 580, True)}
    assert second.name == "house, poisson" and second.choices.keys() == {"fixed", "wmv"}
    assert gaps([first, second], "wmv") == [0.5, 1.0] and gaps([first, second], "holdout") == pytest.approx([0.4])


def test_the_table(group):
    lines = rules_table(cases_of(group)).splitlines()
    assert lines[2] == "| `holdout` | 0.40 | 0.40 | 0 | 0 | 1 |"
    assert lines[3] == "| `wmv` | 0.75 | 1.00 | 0 | 0 | 2 |"
    assert "| `emv` | 2.00 | 2.00 | 1 | 0 | 1 |" in lines
    assert "| `fixed` | 1.50 | 3.00 | 0 | 2 | 2 |" in lines
    assert "| house, poisson | 25.00 | 600 | - | -1.00 at 700 | -0.00 at 1000 | - |" in lines


def test_a_sweep_writes_it_when_there_are_several_rules(group, capsys):
    compare_rules(group)
    assert (group / "stopping.md").read_text() == rules_table(cases_of(group))
    assert "`holdout`" in capsys.readouterr().out


def test_no_table_of_one_rule_or_without_a_target(tmp_path):
    cell(tmp_path, "a", [verdict("wmv", None, 500)], peak=None)
    cell(tmp_path, "b", [verdict("wmv", 29.0, 500)])
    compare_rules(tmp_path)
    assert not (tmp_path / "stopping.md").exists()
