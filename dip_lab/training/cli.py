"""The command line of a training. Imports Hydra only; torch comes once there is something to train."""

import json
import logging
import os
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dip_lab import ctrl_c
from dip_lab.catalogue import config_folder
from dip_lab.checks import flag, one_line
from dip_lab.cli import FULL_ERROR, parsed, register_plugins
from dip_lab.compose import recorded, refuse_code, register_resolvers, resolved
from dip_lab.mistakes import MISTAKES, building, explain, explained, unexpected
from dip_lab.plain import printable
from dip_lab.runs.claims import claim
from dip_lab.runs.files import from_here, write_json
from dip_lab.runs.sharing import announce
from dip_lab.spelling import own_configs, spelled
from dip_lab.streams import keep_open
from dip_lab.training.identity import RECORD, training_of
from dip_lab.utf8 import use_utf8

log = logging.getLogger(__name__)
PRIMARY = "train"
HELP = """\
Train a restorer on pictures, to use it as a baseline beside untrained networks.

    python scripts/train.py task.sigma=[0,55] restorer.noise_map=true budget=30m
    python scripts/train.py net=dncnn data=train/bsd400 task.sigma=25 optimizer=adam
    python scripts/train.py data=train/folder data.path=photos budget=2m    your own pictures
    python scripts/train.py objective=likelihood net=pixelcnn patch=32      a density of clean pictures
    python scripts/train.py -m net=dncnn,cvt,patch_mlp optimizer=sgd,adam   one training for each combination
    python run.py baseline=trained baseline.checkpoint=outputs/train/<run> data=file data.path=photo.jpg

A training that was interrupted goes on where it was, with the same command.
  --cfg job    what will run: every value in it can be changed by its name
"""
failed: list[Path] = []  # trainings of this process's sweep
ended: dict[Path, list[str]] = {}  # those that have ended, and the arguments that they are to be evaluated with

register_resolvers()


@hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=PRIMARY)
def job(cfg: DictConfig) -> float | None:
    """One training; returns the score of the held-out pictures."""
    keep_open()
    folder = Path(HydraConfig.get().runtime.output_dir)
    logging.captureWarnings(True)
    try:
        with explained(HydraConfig.get().overrides.task, PRIMARY):
            score = _trained(cfg, folder)
            if cfg.evaluate is not None:
                ended[folder] = [*map(str, cfg.evaluate), f"name={cfg.name}_evaluation"]
            return score
    except Exception as error:
        if FULL_ERROR and HydraConfig.get().mode != RunMode.MULTIRUN:
            raise
        mistake = isinstance(error, MISTAKES)
        log.error("%s", one_line(error) if mistake else unexpected(error))
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            raise SystemExit(2 if mistake else 1) from None
        failed.append(folder)  # the sweep goes on
        return None


def _trained(cfg: DictConfig, folder: Path) -> float | None:
    flag("rerun", cfg.rerun)
    training = training_of(resolved(cfg), HydraConfig.get().runtime.choices)
    with claim(folder):
        if not cfg.rerun and (done := _done(folder, training.hash)) is not None:
            log.info("done before: %s", from_here(folder))
            return done
        announce()
        from dip_lab.training.run import train

        with building():
            record = {"hash": training.hash, **training.options, "config": recorded(cfg)}
        score, interrupted = train(cfg, training, folder, HydraConfig.get().job.get("num"))
        if interrupted is None:
            write_json(folder / RECORD, record | {"score": score})
    if interrupted is not None:
        log.warning("interrupted: the same command goes on from here")
        raise SystemExit(128 + signal.Signals[interrupted])
    return score


def _done(folder: Path, expected: str) -> float | None:
    """The score of a training that has ended; None: it has not.

    Raises:
        ValueError: the folder holds another training.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record["hash"] != expected:
        raise ValueError(f"{folder} holds another training ({record['hash']}, this is {expected}): choose another "
                         "name=..., or replace it with rerun=true")
    return record["score"]


def main() -> int:
    """Exit code: 0 done, 1 a training of a sweep failed, 2 a mistake at the prompt, 128 + n ended by signal n."""
    return ctrl_c.exit_code(_main)


def _main() -> int:
    use_utf8()
    keep_open()
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(HELP)
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands us the error instead of printing it
    overrides: list[str] = []
    try:
        register_plugins()
        said, flags = parsed(sys.argv[1:])
        overrides = [*own_configs(said.config_dir), *spelled(said.overrides)]
        if any("hydra" in text for text in overrides):
            refuse_code(overrides, None, PRIMARY)
        sys.argv[1:] = [*overrides, *flags]
        job()
    except Exception as error:
        if FULL_ERROR:
            raise
        said_of = explain(error, overrides, PRIMARY) if isinstance(error, MISTAKES) else unexpected(error)
        print(printable(said_of), file=sys.stderr)
        return 2
    for folder in failed:
        log.error("%s failed", from_here(folder))
    return _evaluated() or int(bool(failed))


def _evaluated() -> int:
    """Try all trainings of the command on the pictures that `evaluate` names; the exit code."""
    if not ended:
        return 0
    from dip_lab.evaluate import evaluate

    try:
        evaluate([*map(str, map(from_here, ended)), *next(iter(ended.values()))])
    except MISTAKES as error:
        log.error("evaluate: %s", one_line(error))
        return 2
    return 0
