"""`objective=meta`: weights from which fits get far in a few iterations."""

import copy
from pathlib import Path

import pytest
import torch

from dip_lab.build import build_net, build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.latents.noise import Noise
from dip_lab.objectives.meta import Meta
from dip_lab.training.checkpoint import LAST, load
from dip_lab.training.module import Training
from tests.training.killing import Killed, killed_at, same

pytestmark = pytest.mark.usefixtures("photos")
SMALL = ("objective=meta", "net=skip_narrow", "net.width=4", "net.depth=2", "latent.depth=3", "objective.steps=2",
         "patch=16", "batch=2", "epoch=2", "iterations=4", "data=train/folder", "data.path=photos", "logger=none",
         "device=cpu", "precision=float32", "threads=1")


def meta(**changes):
    return Meta(**{"latent": Noise("uniform", 0.1, 3, 0.03), "steps": 3, "lr": 0.01, "precision": "float32", "seed": 0,
                   **changes})


def problem(count=2, task="denoise"):
    pixels = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return build_problem(compose([f"task={task}", "task.sigma=25"] if task == "denoise" else [f"task={task}"]).task,
                         Images("random", pixels, clean=True), 0)


def net():
    return build_net(compose(["net=skip_narrow", "net.width=4", "net.depth=2"]), 3, 3)


@pytest.mark.parametrize("task", ["denoise", "super_resolution"])
def test_its_gradient_is_the_step_of_reptile(task, one_thread):
    objective, start, both = meta(), net(), problem(task=task)
    objective.loss(torch.nn.ModuleDict({"net": start}), (both, None)).backward()
    ends = [objective.fitted(start, both.part(slice(t, t + 1))).net for t in range(2)]
    for mine, one, other in zip(start.parameters(), *(end.parameters() for end in ends), strict=True):
        assert torch.allclose(mine.grad, mine.detach() - (one.detach() + other.detach()) / 2, atol=1e-6)
    assert any((mine != theirs).any() for mine, theirs in zip(start.parameters(), ends[0].parameters(), strict=True))


def test_a_fit_lowers_the_loss_and_leaves_the_start_alone(one_thread):
    objective, start, one = meta(steps=20), net(), problem(1)
    before = copy.deepcopy(start.state_dict())
    first, last = (objective.fitted(start, one) if steps else meta(steps=1).fitted(start, one) for steps in (0, 1))
    assert one.misfit(last(None)) < one.misfit(first(None))
    assert all(torch.equal(value, before[key]) for key, value in start.state_dict().items())
    again = objective.fitted(start, one)
    assert torch.equal(again(None), last(None)) and torch.equal(again.latent.z, last.latent.z)


def test_trained_from_the_prompt_and_used_by_a_fit(train, fit_tiny):
    code, said = train(*SMALL)
    assert code == 0, said
    run = next(Path("outputs/train").glob("denoise-skip_narrow-*"))
    assert f"generator.init_from={run}" in said
    with pytest.raises(ValueError, match=r"is the start of fits .* give net=skip_narrow generator\.init_from"):
        load(str(run))
    summary = fit_tiny("net=skip_narrow", "latent.depth=3", f"generator.init_from={run}", "iterations=2",
                       "stopping=fixed").summary
    assert summary["restorer"]["objective"] == "meta"


def test_it_is_continued_exactly(train, monkeypatch):
    train(*SMALL, "name=whole")
    with monkeypatch.context() as patched:
        patched.setattr(Training, "training_step", killed_at(3))
        with pytest.raises(Killed):
            train(*SMALL, "name=killed")
    assert train(*SMALL, "name=killed")[0] == 0
    same(*(torch.load(next(Path("outputs", name).iterdir()) / LAST, weights_only=True)["state_dict"]
           for name in ("whole", "killed")))


@pytest.mark.parametrize("key, value", [("steps", 0), ("lr", 0)])
def test_wrong_values(key, value):
    with pytest.raises(ValueError, match=rf"objective\.{key}={value}: "):
        meta(**{key: value})
