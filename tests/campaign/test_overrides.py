"""A thousand settings that nobody would type on purpose: each ends in a fit, or in one line that says what is wrong."""

import random
import shutil
import sys

import pytest
from campaign.isolated import Ended, isolated
from needs import options
from omegaconf import DictConfig, OmegaConf

from dip_lab import cli
from dip_lab.catalogue import groups
from dip_lab.compose import compose, without_hydra
from dip_lab.fit import Interrupt

pytestmark = pytest.mark.campaign
TINY = ("data.size=16", "iterations=3", "log_every=1", "logger=none", "threads=1", "net.width=4")
COUNT = 1000
VALUES = (
    "null", "[]", "{}", "[1,2]", "[[1],[a]]", "{a:1}", "{_target_:5}", "{_target_:[]}",
    "{_target_:torch.nn.Conv2d}", "{_partial_:true}", "abc", "''", "' '", "-1", "0", "1", "7", "-0.5", "0.5",
    "1e308", "-1e308", "1e-320", "nan", "inf", "-inf", "99999999999999999999", "1_000", "true", "false", "no",
    "off", "'1'", "'true'", "'null'", "${seed}", "${nope}", "${oc.env:NOPE}", "${oc.env:HOME}",
    "${hydra:runtime.cwd}", "${.x}", "'${'", "???", "..", "../x", "/", "/dev/null", ".", "~", "auto", "none", "é",
    "'\x1b[31m'", "'a b'", "x" * 400, "1e3", "0x10", "1.0.0", "01", "+1", "a=b", "1:2",
)
NAMED = (  # those that once ended in a traceback
    "task.observation=1_000", "tiling='1'", "logger={a:{b:1}}", "logger=[1]", "stopping.shadow=0.5",
    "coarse_to_fine=true", "net._partial_=true", "latent.jitter=1e308", "~optimizer", "average=[]", "net=[1,2]",
    "regularizer=[1,2]", "~net", "~task", "~data", "~stopping", "~iterations", "~seed", "~name", "optimizer={}",
    "task.answer=[1]", "task.answer=null", "name=null", "name=[1]", "task/misfit=fuse_exposure",
    "task/misfit=fuse_infrared", "video.fps=[]", "callbacks=null", "trainer=null", "generator=null", "descent=null",
    "splits=null", "shadow=null", "shadow=[1]", "shadow={a:1}", "answer=null", "video=null",
)


def keys(cfg: DictConfig) -> list[str]:
    """Every key of a config, those with keys inside them too."""
    def below(node: object, before: str):
        for key, value in node.items() if isinstance(node, dict) else ():
            yield before + str(key)
            yield from below(value, f"{before}{key}.")

    return list(below(OmegaConf.to_container(without_hydra(cfg)), ""))


def drawn(count: int) -> list[list[str]]:
    """Overrides from a fixed seed: a group's option, and a strange value for one of the keys that there are then."""
    draw = random.Random(20)
    of = {group: options(group) for group in groups() if not group.startswith(("hydra", "experiment", "logger"))}
    cases = [[text] for text in NAMED]
    known: dict[str, list[str]] = {}
    while len(cases) < count:
        group = draw.choice([group for group in of if "/" not in group])
        option = f"{group}={draw.choice(of[group])}"
        if option not in known:
            known[option] = keys(compose([option]))
        around = [] if option.startswith(("net=", "data=")) and draw.random() < 0.3 else [option]
        key = draw.choice([*known[option], *of] if draw.random() < 0.9 else list(of))
        sign = draw.choice(["", "", "", "", "", "+", "++", "~"])
        sweep = ["-m"] if draw.random() < 0.1 else []
        cases.append([*sweep, *around, f"~{key}" if sign == "~" else f"{sign}{key}={draw.choice(VALUES)}"])
    return cases


def fault_of(ended: Ended, made: set[str]) -> str | None:
    """What is wrong with how a case ended, and with the files it made."""
    lines = [line for line in ended.said.splitlines() if line.strip()]
    if ended.code is None:
        return "it hangs"
    if "Traceback" in ended.said or 'File "' in ended.said:
        return f"a traceback: {lines[-1][:200]}"
    if ended.code not in (0, 1, 2):
        return f"exit code {ended.code}: {ended.said[-200:]}"
    if ended.code and not lines:
        return "no word"
    if ended.code == 2 and len(lines) > 1 and not ended.said.startswith("Launching"):
        return f"{len(lines)} lines: {ended.said[-300:]!r}"
    return f"wrote {sorted(made)}" if made else None


def test_hostile_overrides(tally, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(Interrupt, "on_train_batch_end",  # a fit of 10^308 iterations is allowed, and ends here
                        lambda self, trainer, *_: setattr(trainer, "should_stop", trainer.should_stop or
                                                          trainer.global_step > 5))
    count = tally("a setting that nobody would type on purpose")
    (tmp_path / "cases").mkdir()
    for number, overrides in enumerate(drawn(COUNT)):
        folder = tmp_path / "cases" / f"{number:04d}"

        def run(overrides=overrides) -> int:
            key = overrides[-1].partition("=")[0]
            sys.argv = ["run.py", *[text for text in TINY if text.partition("=")[0] != key], *overrides]
            return cli.main()

        ended = isolated(run, folder)
        made = {path.name for place in (tmp_path, folder.parent, folder) for path in place.iterdir()}
        made -= {"cases", folder.name, "outputs"}
        count.add(" ".join(text[:80] for text in overrides), fault_of(ended, made))
        shutil.rmtree(folder)
    count.conclude()
