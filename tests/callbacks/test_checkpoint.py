"""What a checkpoint says of the fit that is continued."""

import pytest
import torch
from outcomes import difference, lines_about
from test_resume import KillAt, Killed

from dip_lab.runs.proved import write_proved


def test_a_continued_fit_keeps_the_threads_that_it_began_with(fit_tiny, tmp_path, monkeypatch):
    fit_tiny("iterations=20", folder=tmp_path)
    newest = max((tmp_path / "checkpoints").glob("[0-9]*.pt"))
    state = torch.load(newest, weights_only=True)
    assert state["threads"] == torch.get_num_threads()
    write_proved(newest, lambda file: torch.save(state | {"threads": 3}, file))
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    for threads in ("2", "auto"):  # what a person asks for stays
        fit_tiny("iterations=20", f"threads={threads}", folder=tmp_path)
    assert asked == [3]


def without_optimizer(state):
    del state["parts"]["optimizer"]


def of_another_shape(state):
    state["parts"]["average"]["image"] = torch.zeros(1, 1, 2, 2)


def of_another_rule(state):
    state["parts"]["stopping"]["rule"]["_ring"] = torch.zeros(3)


def of_a_later_iteration(state):
    state["iteration"] = 10**9


CHANGES = (without_optimizer, of_another_shape, of_another_rule, of_a_later_iteration)


@pytest.mark.parametrize("change", [*CHANGES, "a flipped bit"])
def test_a_checkpoint_that_is_not_of_this_fit_is_passed_over(change, fit_tiny, without_plots, tmp_path, caplog):
    tiny = ("iterations=25", "log_every_image=500")
    fit_tiny(*tiny, folder=tmp_path / "alone")
    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        fit_tiny(*tiny, folder=folder, callbacks=[KillAt(21)])
    newest = folder / "checkpoints" / "0000020.pt"
    if change == "a flipped bit":
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 8
        newest.write_bytes(content)
    else:
        state = torch.load(newest, weights_only=True)
        change(state)
        write_proved(newest, lambda file: torch.save(state, file))
    fit_tiny(*tiny, folder=folder)
    (said,) = lines_about(caplog, newest.name)
    assert said.endswith("the one before it is used")
    assert not difference(folder, tmp_path / "alone")


def test_without_a_sound_checkpoint_the_fit_begins_anew(fit_tiny, without_plots, tmp_path, caplog):
    tiny = ("iterations=12", "stopping=fixed")
    fit_tiny(*tiny, folder=tmp_path / "alone")
    with pytest.raises(Killed):
        fit_tiny(*tiny, folder=tmp_path / "killed", callbacks=[KillAt(11)])
    (only,) = (tmp_path / "killed" / "checkpoints").iterdir()
    only.write_bytes(only.read_bytes()[:-1])
    fit_tiny(*tiny, folder=tmp_path / "killed")
    (said,) = lines_about(caplog, only.name)
    assert said.endswith("the fit begins anew") and not difference(tmp_path / "killed", tmp_path / "alone")
