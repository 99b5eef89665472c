"""scripts/export.py: half the size, and it restores as the checkpoint does."""

import pytest
import torch
from checkpoints import run_of

from dip_lab.training.checkpoint import load

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_small_file_restores_as_the_run_does(tmp_path, script_of, capsys):
    run = run_of(tmp_path / "run")
    script_of("export").main([str(run), str(tmp_path / "small.pt")])
    run, small = load(str(run)), load(str(tmp_path / "small.pt"))
    assert small.sha256 in capsys.readouterr().out
    assert small.card == run.card
    assert {value.dtype for value in torch.load(small.path, weights_only=True)["state_dict"].values()
            if value.is_floating_point()} == {torch.float16}
    inputs = torch.rand(1, 1, 12, 9)
    torch.testing.assert_close(small.restorer(inputs), run.restorer(inputs), atol=2e-3, rtol=0)


def test_what_is_no_training_is_one_line(tmp_path, script_of):
    with pytest.raises(ValueError, match="no such file"):
        script_of("export").main([str(tmp_path / "nowhere"), str(tmp_path / "small.pt")])
