"""Checkpoints: plain values and tensors only; those of others where their keys say what they are."""

import pickle
from dataclasses import asdict, replace

import pytest
import torch

from dip_lab.training import checkpoint
from dip_lab.training.checkpoint import BEST, KEY, Card, load, restorer_of, save

OPTIONS = {"width": 4, "layers": 3, "bias": True, "norm": "none", "activation": "relu", "padding": "zero"}
CARD = Card("ffdnet", OPTIONS, 1, 1, True, True, "denoise", {}, "Gaussian", [0, 55], "train/folder", 3, 10, 1.0, 0)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def file(tmp_path):
    save(tmp_path / "one.pt", CARD, restorer_of(CARD))
    return tmp_path / "one.pt"


def test_what_is_saved_restores_the_same(file):
    one, again = load(str(file)), load(str(file))
    inputs = torch.rand(1, 2, 9, 9)
    assert torch.equal(one.restorer(inputs), again.restorer(inputs))
    assert one.card == replace(CARD, sigma=one.card.sigma) and len(one.sha256) == 64
    assert one.about["data"] == "train/folder" and not one.restorer.training


def test_a_run_is_known_by_its_folder(file, tmp_path):
    (tmp_path / "run" / BEST).parent.mkdir(parents=True)
    file.rename(tmp_path / "run" / BEST)
    assert load(str(tmp_path / "run")).card.net == "ffdnet"
    with pytest.raises(ValueError, match="has no checkpoints/best.ckpt"):
        load(str(tmp_path))


def test_halved_weights_are_nearly_the_same(tmp_path):
    restorer = restorer_of(CARD)
    for name, dtype in (("full", torch.float32), ("half", torch.float16)):
        save(tmp_path / f"{name}.pt", CARD, restorer, dtype)
    inputs = torch.rand(1, 2, 8, 8)
    full, half = (load(str(tmp_path / f"{name}.pt")).restorer(inputs) for name in ("full", "half"))
    torch.testing.assert_close(full, half, atol=1e-3, rtol=0)


def test_kairs_dncnn_is_recognised(tmp_path):
    weights = {}
    for layer, (made, seen) in enumerate([(4, 1), (4, 4), (1, 4)]):
        weights[f"model.{2 * layer}.weight"] = torch.randn(made, seen, 3, 3)
        weights[f"model.{2 * layer}.bias"] = torch.randn(made)
    torch.save(weights, tmp_path / "dncnn_25.pth")
    trained = load(str(tmp_path / "dncnn_25.pth"))
    x = torch.rand(1, 1, 7, 6)
    expected = x
    for layer in range(3):
        expected = torch.conv2d(expected, weights[f"model.{2 * layer}.weight"], weights[f"model.{2 * layer}.bias"],
                                padding=1)
        expected = expected.relu() if layer < 2 else expected
    torch.testing.assert_close(trained.restorer(x), x - expected, rtol=1e-5, atol=1e-4)


class Code:
    """What a pickle may do when it is read."""

    def __reduce__(self):
        return print, ("this ran",)


def damaged(kind: str, file, tmp_path):
    path = tmp_path / "bad.pt"
    content = torch.load(file, weights_only=True)
    if kind == "truncated":
        path.write_bytes(file.read_bytes()[:-300])
    elif kind == "code":
        path.write_bytes(pickle.dumps(Code()))
    elif kind == "code inside":
        torch.save({**content, "more": Code()}, path)
    elif kind == "another network":
        torch.save({**content, KEY: {**asdict(CARD), "options": {**OPTIONS, "width": 5}}}, path)
    elif kind == "no card":
        torch.save({"weights": torch.zeros(3)}, path)
    elif kind == "no such net":
        torch.save({KEY: {**asdict(CARD), "net": "../evil"}, "state_dict": {}}, path)
    elif kind == "a target":
        torch.save({KEY: {**asdict(CARD), "options": {**OPTIONS, "_target_": "os.system"}}, "state_dict": {}}, path)
    elif kind == "an interpolation":
        torch.save({KEY: {**asdict(CARD), "options": {**OPTIONS, "width": "${oc.env:HOME}"}}, "state_dict": {}}, path)
    elif kind == "nan":
        bad = {key: value * torch.nan for key, value in content["state_dict"].items()}
        torch.save({KEY: asdict(CARD), "state_dict": bad}, path)
    elif kind == "a list":
        torch.save([1, 2], path)
    return path


@pytest.mark.parametrize("kind, said", [
    ("truncated", "cannot be read"), ("code", "cannot be read"), ("code inside", "might run code"),
    ("another network", "another network"), ("no card", "neither"), ("no such net", "plain name"),
    ("a target", "takes no _target_"), ("an interpolation", "takes no width"), ("nan", "not finite"),
    ("a list", "holds list"), ("none", "no such file"),
])
def test_whatever_is_wrong_is_one_line(kind, said, file, tmp_path, capsys):
    path = damaged(kind, file, tmp_path)
    with pytest.raises(ValueError, match=said) as caught:
        load(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert "this ran" not in capsys.readouterr().out


def test_lightnings_checkpoints_prove_themselves(tmp_path):
    path = tmp_path / "last.ckpt"
    checkpoint.ProvedIO().save_checkpoint({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, path)
    assert checkpoint.ProvedIO().load_checkpoint(path)["epoch"] == 3
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.ProvedIO().load_checkpoint(path)
