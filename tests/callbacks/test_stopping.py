"""Rules that watch a fit leave it as it is, and each says what it would have chosen."""

import csv
import json

import pytest
import torch

from dip_lab.compose import compose
from dip_lab.loggers.tracker import Tracker
from dip_lab.spelling import written_out

ALL = "shadow=[discrepancy,emv,fixed,oracle,plateau,self_validation]"


def rows_of(folder):
    with open(folder / "stopping.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_shadow_rules_change_nothing(fit_tiny):
    alone, watched = fit_tiny(), fit_tiny(ALL)
    assert torch.equal(alone.image, watched.image)
    assert alone.history.column("loss") == watched.history.column("loss")
    assert [verdict.rule for verdict in alone.verdicts] == ["wmv"]


def test_sure_in_the_shadow_changes_nothing(fit_tiny):
    alone, watched = fit_tiny("latent=image"), fit_tiny("latent=image", "shadow=[sure]",
                                                        "shadow.sure.every=3")
    assert torch.equal(alone.image, watched.image)
    assert watched.verdicts[1].rule == "sure" and watched.verdicts[1].chosen_iteration > 0


def test_stopping_csv(fit_tiny, tmp_path):
    restoration = fit_tiny(ALL, "shadow.emv.patience=5", "shadow.emv.min_start=0",
                           "shadow.oracle.every=1", folder=tmp_path)
    rows = {row["rule"]: row for row in rows_of(tmp_path)}
    assert list(rows) == ["wmv", "discrepancy", "emv", "fixed", "oracle", "plateau", "self_validation"]
    assert [row["obeyed"] for row in rows.values()] == ["True"] + ["False"] * 6
    summary = json.loads((tmp_path / "result.json").read_text())
    assert float(rows["wmv"]["psnr"]) == summary["psnr"]
    assert int(rows["wmv"]["chosen_iteration"]) == summary["chosen_iteration"]
    assert float(rows["oracle"]["gap"]) == 0 and rows["oracle"]["stopped_iteration"] == ""
    assert int(rows["fixed"]["chosen_iteration"]) == summary["iterations"]
    emv = rows["emv"]
    assert int(emv["saved"]) == 60 - int(emv["stopped_iteration"]) > 0
    assert int(emv["stopped_iteration"]) == int(emv["chosen_iteration"]) + 5
    for row in rows.values():
        assert float(row["psnr"]) + float(row["gap"]) == pytest.approx(summary["psnr_peak"])
    assert all(verdict.psnr is not None for verdict in restoration.verdicts)


def test_without_a_target_there_are_choices_but_no_scores(fit_tiny, tmp_path):
    fit_tiny("task.given=true", "shadow=[emv,discrepancy]", folder=tmp_path)
    rows = rows_of(tmp_path)
    assert {row["psnr"] for row in rows} == {row["gap"] for row in rows} == {""}
    assert all(int(row["chosen_iteration"]) > 0 for row in rows)


def test_a_rule_that_changes_the_fit_cannot_watch(fit_tiny):
    with pytest.raises(ValueError, match="shadow: holdout changes the fit and cannot watch"):
        fit_tiny("shadow=[holdout]")


def test_a_rule_that_cannot_work_here_is_refused_before_the_fit(fit_tiny):
    with pytest.raises(ValueError, match="has no noise to compare with"):
        fit_tiny("task=inpaint", "shadow=[discrepancy]")
    with pytest.raises(ValueError, match="add latent=image"):
        fit_tiny("shadow=[sure]")


def test_shadow_is_spelled_as_a_list():
    assert written_out(["shadow=[]", "shadow=[a, b]"]) == [
        "+stopping@shadow.a=a", "+stopping@shadow.b=b"]
    cfg = compose(["shadow=[emv]", "shadow.emv.patience=7"])
    assert list(cfg.shadow) == ["emv"] and cfg.shadow.emv.patience == 7


def test_a_misspelt_shadow_rule(command):
    code, text = command("shadow=[emvv]")
    assert code == 2 and "did you mean emv?" in text


def test_the_tracker_gets_the_table(fit_tiny, tmp_path):
    from pytorch_lightning.loggers import CSVLogger

    class Tables(CSVLogger):
        def log_table(self, key, columns, data):
            self.table = key, columns, data

    tracker = Tables(str(tmp_path))
    restoration = fit_tiny("shadow=[emv]")
    Tracker([lambda: tracker], dict).report(restoration)
    key, columns, data = tracker.table
    assert key == "stopping" and columns[0] == "rule" and [row[0] for row in data] == ["wmv", "emv"]
