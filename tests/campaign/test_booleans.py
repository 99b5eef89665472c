"""Every key that is true or false, given something that only looks like it: refused before anything is touched."""

import sys

import pytest
from campaign.isolated import isolated
from needs import needed, options, write_files
from omegaconf import DictConfig, OmegaConf

from dip_lab import cli
from dip_lab.catalogue import groups
from dip_lab.compose import compose, without_hydra

pytestmark = pytest.mark.campaign
TINY = ("data.size=16", "iterations=3", "log_every=1", "logger=none", "threads=1", "hydra.run.dir=run")
VALUES = ("no", "off", "'n'", "'false'", "0", "null")
HOSTS = {"task/noise": "", "task/mask": "task=inpaint", "regularizer/red/denoiser": "regularizer=red"}


def switches(cfg: DictConfig) -> list[str]:
    def below(node: object, before: str):
        for key, value in node.items() if isinstance(node, dict) else ():
            if isinstance(value, bool) and not str(key).startswith("_"):
                yield before + str(key)
            yield from below(value, f"{before}{key}.")

    return list(below(OmegaConf.to_container(without_hydra(cfg), resolve=False), ""))


def test_no_is_not_yes(tally, tmp_path):
    write_files(tmp_path, 16, 16)
    keys: dict[str, list[str]] = {key: [] for key in switches(compose([]))}
    for group in groups():
        if group.startswith(("hydra", "experiment")) or ("/" in group and group not in HOSTS):
            continue
        for option in options(group):
            chosen = [text for text in (HOSTS.get(group, ""), f"{group}={option}") if text]
            for key in switches(compose(chosen)):
                if key.startswith(f"{group.replace('/', '.')}."):
                    keys.setdefault(key, chosen)
    count = tally("a value that looks like yes or no, for each key that is one")
    for key, chosen in keys.items():
        more = needed(chosen, tmp_path)
        for value in VALUES:
            folder = tmp_path / "cases" / f"{key}-{value}"
            (folder / "run").mkdir(parents=True)

            def run(arguments=(*chosen, *more, f"{key}={value}")) -> int:
                sized = not any(text.startswith("data=") for text in arguments)
                sys.argv = ["run.py", *TINY[not sized:], *arguments]
                return cli.main()

            ended = isolated(run, folder)
            refused = ended.code == 2 and "choose true or false" in ended.said
            if value == "null" and not ended.code:  # such as optimizer.fused: as torch likes
                continue
            count.add(f"{key}={value}", None if refused else f"{ended.code}: {ended.said[-300:]}")
    count.conclude()
