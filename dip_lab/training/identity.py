"""Which training a config is: the same config always has the same folder. No torch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dip_lab.data.training_set import TrainingSet
from dip_lab.instantiate import instantiate

RECORD = "training.json"  # in the folder of a training that has ended
# What decides the weights; the rest says where and how they are computed and watched.
COUNTED = ("objective", "task", "net", "restorer", "optimizer", "descent", "generator", "seed", "iterations", "budget",
           "channels", "patch", "batch", "epoch")
OF_DEGRADATION = ("task", "restorer")  # without effect where the objective degrades nothing


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        hash: eight hexadecimal digits of what decides the weights.
        options: the chosen options of task, net, optimizer, data and objective; a density has no task.
        config: the resolved config.
    """

    hash: str
    options: Mapping[str, str | None]
    config: Mapping[str, Any]

    @property
    def what(self) -> str:
        """What is learnt: the task, or the objective where nothing is degraded."""
        return self.options["task"] or self.options["objective"]

    @property
    def name(self) -> str:
        """`<what>-<net>-<data>-<hash8>`."""
        data = self.options["data"].rpartition("/")[2]
        return f"{self.what}-{self.options['net']}-{data}-{self.hash}"


def training_of(config: Mapping[str, Any], choices: Mapping[str, str]) -> Training:
    """The training of a resolved config with the chosen option of each group.

    Raises:
        ValueError: the node `data` is no set to train on, or cannot be found.
    """
    source = source_of(config["data"], choices["data"])
    degraded = config["objective"].get("degraded", True)
    counted = {key: config[key] for key in COUNTED if degraded or key not in OF_DEGRADATION}
    counted |= {"data": {**config["data"], **source.identity()}}
    digest = hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:8]
    options = {key: choices[key] for key in ("task", "net", "optimizer", "data", "objective")}
    return Training(digest, options if degraded else options | {"task": None}, config)


def source_of(node: Mapping[str, Any], option: str) -> TrainingSet:
    """The pictures of a node `data`.

    Raises:
        ValueError: it is a source of single pictures.
    """
    source = instantiate(node)
    if not isinstance(source, TrainingSet):
        raise ValueError(f"data={option}: has no pictures to train on: give data=train/folder data.path=..., or "
                         "another of data=train/...")
    return source
