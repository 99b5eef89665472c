"""What a checkpoint says of the fit that is continued."""

import torch

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
