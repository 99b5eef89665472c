"""Which experiment a config is: its hash, name and options, computed once as a `Cell` and handed down. No torch."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from dip_lab.data.registry import digest
from dip_lab.data.source import Source
from dip_lab.instantiate import instantiate
from dip_lab.runs.folder import BEST, WEIGHTS

# These say where and how a cell is computed and watched, not what it computes.
AROUND = ("hydra", "logger", "trainer", "name", "rerun", "retry_failed", "threads", "gpu", "device", "experiment",
          "faithful", "table", "answer")
BASELINE_KEYS = ("data", "task", "seed", "baseline")
GROUPS = ("net", "latent", "optimizer", "stopping", "average")


@dataclass(frozen=True)
class Cell:
    """One experiment: what it is called, where its files go, and how it came to be.

    Attributes:
        hash: eight hexadecimal digits of the resolved experiment: the same on every machine.
        options: the chosen option of each group; None where a baseline needs none. Regularisers are joined: `tv+edge`.
        picture: the picture's name, as far as the config tells it.
        seed: the seed of all its random numbers.
        overrides: {key: value} of what the command line, or a sweep, changed.
        config: the resolved experiment.
        recorded: the same for its record: a text from the environment stands there as `${oc.env:KEY}`.
        folder: where its files go; None: nothing is written.
        trajectory: the hash of the same without `iterations`: a longer fit takes the same steps and then some more.
    """

    hash: str
    options: Mapping[str, str | None]
    picture: str
    seed: int
    overrides: Mapping[str, Any]
    config: Mapping[str, Any]
    recorded: Mapping[str, Any]
    folder: Path | None = None
    trajectory: str = ""

    @property
    def name(self) -> str:
        """`<task>-<net>-<picture>-<hash8>`; a baseline's name takes the place of the net's."""
        picture = re.sub(r"[^\w.]+", "_", self.picture).strip("._")[:60] or "picture"
        return f"{self.options['task']}-{self.options['baseline'] or self.options['net']}-{picture}-{self.hash}"

    @property
    def description(self) -> dict[str, Any]:
        """What is known before anything is computed: the first part of result.json."""
        return {**self.options, "picture": self.picture, "seed": self.seed, "config_hash": self.hash,
                "trajectory_hash": self.trajectory}

    @property
    def provenance(self) -> dict[str, Any]:
        """How the cell came to be: the last part of result.json."""
        return {"overrides": dict(self.overrides), "config": dict(self.recorded)}

    def inside(self, place: str | Path, seed: int | None = None) -> "Cell":
        """A part of this cell, with a folder inside the cell's own, and perhaps another seed."""
        folder = self.folder / place if self.folder else None
        return replace(self, folder=folder, seed=self.seed if seed is None else seed)


def cell_of(config: Mapping[str, Any], choices: Mapping[str, str], folder: Path | None = None,
            given: Sequence[str] = (), recorded: Mapping[str, Any] | None = None) -> Cell:
    """The cell of a resolved config.

    Args:
        config: the composed config as plain values; its node `hydra` is ignored.
        choices: the chosen option of each group.
        folder: where its files go.
        given: the overrides of the command, or of the sweep's job.
        recorded: the config as others may see it. Default: as it is.

    Raises:
        ValueError: the node `data` cannot be built.
    """
    # Where a value that the user must give is missing, no source can be built; `build` refuses it by its full name.
    source = Source() if "???" in config["data"].values() else instantiate(config["data"])
    experiment, recorded = experiment_of(config), config if recorded is None else recorded
    trajectory = {key: value for key, value in experiment.items() if key != "iterations"}
    return Cell(_hash(experiment, source), _options(config, choices), source.label, config["seed"],
                _overridden(recorded, choices, given), experiment, experiment_of(recorded), folder,
                _hash(trajectory, source))


def experiment_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that decides what is computed; for a baseline, only the keys that it uses."""
    if config["baseline"]:
        return {key: config[key] for key in config if key in BASELINE_KEYS}
    return {key: config[key] for key in config if key not in (*AROUND, "baseline")}


def _hash(experiment: Mapping[str, Any], source: Source) -> str:
    """A file, whatever key names it, counts by its content and not by its name or place; so does a run's folder."""
    root = getattr(source, "root", None)
    counted = {key: _by_content(value, root) for key, value in experiment.items()}
    counted["data"] |= source.identity()
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:8]


def _by_content(value: Any, root: str | None, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {k: _by_content(v, root, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_by_content(item, root, key) for item in value]
    if not isinstance(value, str) or key == "_target_":
        return value
    folder = Path(os.path.expanduser(value))
    for weights in (WEIGHTS, BEST):  # a run whose weights are the start, or a training whose restorer is used
        if os.path.isfile(folder / weights):
            return digest(str(folder / weights))
    if key == "path" and os.path.isdir(folder):  # the frames of a clip
        return [digest(str(file)) for file in sorted(folder.iterdir()) if file.is_file()]
    return digest(value, root) or value


def _options(config: Mapping[str, Any], choices: Mapping[str, str]) -> dict[str, str | None]:
    """The chosen options; a baseline replaces everything that belongs to a fit."""
    fit = {group: choices[group] for group in GROUPS} | {"regularizer": "+".join(config["regularizer"]) or "none"}
    baseline = choices["baseline"] if config["baseline"] else None
    return {"task": choices["task"], "data": choices["data"], "baseline": baseline,
            **(dict.fromkeys(fit) if baseline else fit), "noise": choices["task/noise"]}


def _overridden(config: Mapping[str, Any], choices: Mapping[str, str], given: Sequence[str]) -> dict[str, Any]:
    changed = {}
    for override in OverridesParser.create().parse_overrides(list(given)):
        key = override.key_or_group
        if override.package is None and key in choices:
            changed[key] = choices[key]
        elif not override.is_add() and (option := choices.get(f"{key}@{override.package}")):
            changed[override.package] = option  # such as baseline@latent.baseline=patchmatch
        elif override.package is None and (value := selected(config, key)) is not None:
            changed[key] = value
    return changed


def selected(config: Any, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
