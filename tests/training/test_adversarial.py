"""Filling holes against a discriminator: it learns, is continued exactly, and leaves known pixels as they are."""

from pathlib import Path

import pytest
import torch

from dip_lab.build import build_problem
from dip_lab.compose import compose
from dip_lab.data.images import Images
from dip_lab.instantiate import instantiate
from dip_lab.objectives.adversarial import Adversarial, judged
from dip_lab.training.checkpoint import BEST, LAST, Card, load
from dip_lab.training.module import Training
from dip_lab.training.restorer import inputs_of
from tests.training.killing import Killed, folder_of, killed_at, same

pytestmark = pytest.mark.usefixtures("photos")
TINY = ["objective=adversarial", "task=inpaint", "task/mask=strokes", "net=gated_unet", "net.width=4",
        "net.dilations=[2]", "objective.discriminator={width:4,layers:2}", "data=train/folder", "data.path=photos",
        "patch=16", "batch=4", "iterations=6", "epoch=2", "logger=none", "device=cpu", "precision=float32", "threads=1"]
CARD = Card("gated_unet", {}, 3, 1, False, False, "inpaint", {}, "NoNoise", None, "train/folder",
            objective="adversarial")


def objective(*overrides: str) -> Adversarial:
    return instantiate(compose([*TINY, *overrides], name="train").objective)


def test_it_leaves_its_weights_and_what_it_fills(train):
    code, said = train(*TINY)
    assert code == 0, said
    folder = folder_of()
    rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "iteration,seconds,loss,lr,psnr_hole,psnr,ssim,hinge" and len(rows) == 4
    assert (folder / "held_out.png").is_file() and "dB in the holes" in said
    card = load(str(folder)).card
    assert (card.task, card.channels, card.maps, card.residual, card.objective) == ("inpaint", 3, 1, False,
                                                                                    "adversarial")


def test_it_learns(train):
    train(*TINY, "iterations=150", "epoch=150", "net.width=8")
    rows = (folder_of() / "history.csv").read_text(encoding="utf-8").splitlines()
    assert float(rows[-1].split(",")[4]) > 12.5  # a grey filling: 10.6


@pytest.mark.parametrize("more", [[], ["optimizer=adam"]], ids=["muon", "adam"])
def test_it_is_continued_exactly(train, monkeypatch, more):
    train(*TINY, *more, "name=whole")
    whole = torch.load(folder_of("whole") / LAST, weights_only=True)["state_dict"]
    command = [*TINY, *more, "name=killed"]
    with monkeypatch.context() as patched:
        patched.setattr(Training, "training_step", killed_at(3))
        with pytest.raises(Killed):
            train(*command)
    assert torch.load(folder_of("killed") / LAST, weights_only=True)["step"] == 2
    code, said = train(*command)
    assert code == 0 and "goes on from" in said, said
    again = torch.load(folder_of("killed") / LAST, weights_only=True)["state_dict"]
    same(whole, again)
    histories = [(folder_of(name) / "history.csv").read_text(encoding="utf-8") for name in ("whole", "killed")]
    rows = [[row.split(",")[:1] + row.split(",")[2:] for row in text.splitlines()] for text in histories]
    assert rows[0] == rows[1]
    extra = whole["critic._extra_state"]
    assert extra["steps"] == 6 and extra["moments"]["state"] and "critic.net.head.parametrizations.weight.0._u" in whole


def test_the_discriminator_depends_on_the_seed_alone(one_thread):
    def weights(seed):
        learning = objective(f"seed={seed}")
        learning.model(torch.nn.Identity(), CARD, "float32")
        return learning.critic.state_dict()

    torch.rand(5)
    same(weights(0), weights(0))
    assert not torch.equal(*(weights(seed)["net.head.parametrizations.weight.original"] for seed in (0, 1)))


def test_the_two_sides_learn_from_their_own_loss(one_thread):
    learning = objective("objective.adversarial=1")
    net = torch.nn.Conv2d(4, 3, 3, padding=1)
    net.stride, net.min_size = 1, 1
    model = learning.model(net, CARD, "float32")
    generator = torch.Generator().manual_seed(0)
    clean, known = torch.rand(2, 3, 16, 16, generator=generator), torch.ones(2, 1, 16, 16)
    known[..., 4:12, 4:12] = 0
    before = [weight.detach().clone() for weight in learning.critic.net.parameters()]
    loss = learning.loss(model, (torch.cat((clean * known, known), 1), clean))
    loss.backward()
    moved = [not torch.equal(weight, old) for weight, old in zip(learning.critic.net.parameters(), before, strict=True)]
    assert moved.count(False) <= 1 and learning.critic.steps == 1  # the last bias: its two sides may cancel
    assert all(weight.grad is None for weight in learning.critic.net.parameters())
    assert all(weight.grad is not None for weight in model.parameters())
    alone = objective("objective.adversarial=0", "objective.hole=2", "objective.rest=0.5")
    alone.model(net, CARD, "float32")
    made, hole = model(torch.cat((clean * known, known), 1)), 1 - known
    expected = ((made - clean).abs() * (2 * hole + 0.5 * known)).mean()
    assert torch.allclose(alone.loss(model, (torch.cat((clean * known, known), 1), clean)), expected)
    assert alone.critic.steps == 0


def test_the_discriminator_learns_to_tell_the_two_apart(one_thread):
    learning = objective("objective.discriminator={width:8,layers:2}")
    learning.model(torch.nn.Identity(), CARD, "float32")
    critic, known = learning.critic, torch.ones(4, 1, 16, 16)
    real, made = torch.rand(4, 3, 16, 16), torch.full((4, 3, 16, 16), 0.5)
    for _ in range(60):
        critic.learn(judged(real, known), judged(made, known))
    assert float(critic.hinge(judged(real, known), judged(made, known)).detach()) < 1.3  # it began at about 2


def test_known_pixels_stay_as_they_are(train, tmp_path):
    train(*TINY)
    cfg = compose(["task=inpaint", "task/mask=strokes", "baseline=trained", f"baseline.checkpoint={folder_of()}"])
    problem = build_problem(cfg.task, Images("photo", torch.rand(1, 3, 41, 38)), 0)
    image = instantiate(cfg.baseline)(problem)
    known = problem.operator.known.bool().expand_as(image)
    assert torch.equal(image[known], problem.observation[known])
    raw = load(str(folder_of())).restorer(inputs_of(problem, None)).clamp(0, 1)
    assert torch.equal(image[~known], raw[~known]) and not torch.equal(raw[known], image[known])


@pytest.mark.parametrize("overrides, said", [
    (["task=denoise"], "objective=adversarial: fills holes, and task=denoise leaves none: give task=inpaint"),
    (["objective.hole=-1"], "objective.hole=-1: give a number at least 0"),
    (["objective.adversarial=many"], "objective.adversarial=many"),
    (["objective.optimizer.lr=0"], "objective.optimizer.lr=0"),
    (["objective.discriminator.layers=0"], "objective.discriminator.layers=0: give a whole number from 1 to 8"),
    (["task.mask.missing=[0.5,0.1]"], "task.mask.missing=[0.5, 0.1]: give the smallest and the largest share"),
])
def test_mistakes_are_one_line(train, overrides, said):
    own = [text for text in TINY if text != "task/mask=strokes"] if overrides == ["task=denoise"] else TINY
    code, printed = train(*own, *overrides)
    assert code == 2 and said in printed and len(printed.strip().splitlines()) == 1, printed
    assert not list(Path("outputs").glob(f"*/*/{BEST}"))
