"""Tiny restorers in files, as a training leaves them; used by tests/baselines/test_trained.py and test_evaluate.py."""

import os
from dataclasses import replace

import torch

from dip_lab.runs.folder import BEST
from dip_lab.training.checkpoint import Card, restorer_of, save

CARD = Card("dncnn", {"width": 4, "layers": 3, "norm": "none"}, 1, 0, True, False, "denoise", {}, "Gaussian",
            (25.0, 25.0), "train/folder", pictures=7)


def checkpoint(path, **changes):
    """A file with new weights; `changes` are those of the card."""
    card = replace(CARD, **changes)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    restorer = restorer_of(card)
    for weights in restorer.net.parameters():
        torch.nn.init.normal_(weights, std=0.1, generator=torch.Generator().manual_seed(weights.numel()))
    save(path, card, restorer)
    return path


def run_of(folder, **changes):
    """The folder of a training."""
    checkpoint(folder / BEST, **changes)
    return folder


class Code:
    """A pickle that would run a command when it is read."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def spoiled(folder):
    """{what is wrong: (a path, what the error says)}."""
    good = checkpoint(folder / "good.pt")
    (folder / "cut.pt").write_bytes(good.read_bytes()[:2000])
    torch.save({"weights": Code()}, folder / "code.pt")
    (folder / "empty").mkdir()
    content = torch.load(good, weights_only=True)
    content["card"]["options"] = {**content["card"]["options"], "width": 8}
    torch.save(content, folder / "another.pt")
    torch.save({"encoder.weight": torch.zeros(3)}, folder / "foreign.pt")
    return {"nowhere": (folder / "nowhere", "there is no such file"),
            "empty": (folder / "empty", "has no checkpoints/best.ckpt: give the folder of a run of scripts/train.py"),
            "cut": (folder / "cut.pt", "cannot be read as a checkpoint: it is damaged or cut off"),
            "code": (folder / "code.pt", "it holds more than weights and plain values"),
            "another": (folder / "another.pt", "the weights of another network"),
            "foreign": (folder / "foreign.pt", "neither a checkpoint of scripts/train.py nor a DnCNN of KAIR")}


SPOILED = ("nowhere", "empty", "cut", "code", "another", "foreign")
