"""Restorers that were trained on pictures, beside the networks that were not."""

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.problem import Problem
from dip_lab.runs.folder import BEST
from dip_lab.tasks.noise import Gaussian, NoNoise
from dip_lab.training.checkpoint import Trained, by_channels, file_of, load
from dip_lab.training.restorer import LEVELS, inputs_of, with_known

log = logging.getLogger(__name__)
BLIND = "blind"
TOLERANCE = 1  # of 255: how far outside its range a restorer's sigma may be
SMALLEST_TILE = 32


class Learned:
    """A trained restorer as a baseline: Problem -> image.

    A grey network restores each channel of a colour picture on its own; one for colour gets a grey picture as three
    equal channels, and the mean of its answer counts. Both are said in the log.

    Attributes:
        about: after a call, what the restorer is and which sigma it was told, for result.json.

    Args:
        checkpoint: a run of scripts/train.py, or a file of weights, see `dip_lab.training.checkpoint.load`; or
            {"grey": ..., "colour": ...}, of which the one for the picture's channels is taken.
        sigma: of the noise, in 8-bit units, which a network with a noise map is told; "blind": it is estimated; None:
            that of the task where it is known, otherwise it is estimated.
        sigma_range: (lowest, highest) that it was trained for, instead of the file's own.
        tile: px a side of the windows in which a larger picture is restored; None: as a whole.
        overlap: px around a window that are restored and thrown away.
        root: folder of the data sets, if it is not DIP_LAB_DATA.

    Raises:
        ValueError: there is no checkpoint, or it cannot be read; a value is not what it should be.
    """

    about: Mapping[str, Any] | None = None

    def __init__(self, checkpoint: str | Mapping[str, str] | None, sigma: float | str | None = None,
                 sigma_range: Sequence[float] | None = None, tile: int | None = 512, overlap: int = 32,
                 root: str | None = None):
        if not checkpoint:
            raise ValueError("baseline=trained needs weights: give baseline.checkpoint=outputs/train/<run>, the folder "
                             "of a run of scripts/train.py, or a file of weights")
        both = isinstance(checkpoint, Mapping)
        self.files = by_channels("baseline.checkpoint", checkpoint)
        self.sigma = sigma if sigma in (None, BLIND) else _sigma(sigma)
        self.sigma_range = None if sigma_range is None else _range(sigma_range)
        self.tile = None if tile is None else integer("baseline.tile", tile, SMALLEST_TILE)
        most = None if tile is None else (self.tile - 1) // 2
        self.overlap, self.root = integer("baseline.overlap", overlap, 0, most), root
        self._said: set[str] = set()
        if not both:
            self.trained(1)  # what cannot be read is refused before anything is computed

    def __call__(self, problem: Problem) -> Tensor:
        """(1, C, H, W) float32 in [0, 1].

        Raises:
            ValueError: it was trained for another task, other channels, or another sigma.
        """
        channels = problem.image_shape[1]
        trained = self.trained(channels)
        card = trained.card
        self._check_task(problem, trained)
        std, source = self._std(problem, trained)
        inputs = inputs_of(problem, torch.tensor([std]) if card.noise_map else None)
        planes = inputs.shape[1] - card.maps
        if planes < 1 or (planes != card.channels and 1 not in (planes, card.channels)):
            raise ValueError(f"baseline.checkpoint={trained.path}: takes pictures of {card.channels} channels and "
                             f"{card.maps} maps, {problem.name} has {inputs.shape[1]} planes: give another checkpoint")
        if planes > card.channels:
            self._say(logging.INFO, f"{called(trained)} is for grey pictures: it restores each channel on its own")
        elif planes < card.channels:
            self._say(logging.INFO, f"{called(trained)} is for colour pictures: the grey one is given to it as three "
                      "equal channels, whose noise is then equal too, and the mean of its answer counts")
        image = trained.restored(inputs[:, :planes], inputs[:, planes:], self.tile or max(inputs.shape[-2:]),
                                 self.overlap)
        if problem.operator.task == "inpaint" and (problem.noise is None or isinstance(problem.noise, NoNoise)):
            image = with_known(image, problem.observation, problem.operator.known)  # nothing is wrong with it
        told = None if std is None else round(LEVELS * std, 2)
        self.about = {**trained.about, "sigma": self._range_of(trained), "told": told if card.noise_map else None,
                      "told_by": source if card.noise_map else None}
        return image.float().clamp(0, 1).contiguous()

    def trained(self, channels: int) -> Trained:
        """The restorer for pictures of this many channels.

        Raises:
            ValueError: it cannot be read.
        """
        checkpoint = self.files["grey" if channels == 1 else "colour"]
        stat = file_of(checkpoint, self.root).stat() if file_of(checkpoint, self.root).is_file() else None
        return _loaded(checkpoint, self.root, stat and (stat.st_mtime_ns, stat.st_size))

    def refuse_sigma(self, sigma: float, trained: Trained, key: str = "task.sigma") -> None:
        """Refuse noise of a sigma, in 8-bit units, that the restorer was not trained for.

        Raises:
            ValueError: it names the range.
        """
        span = self._range_of(trained)
        if span and not span[0] - TOLERANCE <= sigma <= span[1] + TOLERANCE:
            spelled = f"{span[0]:g}" if span[0] == span[1] else f"{span[0]:g} to {span[1]:g}"
            raise ValueError(f"{key}={sigma:g}: {called(trained)} was trained for sigma {spelled}: give another "
                             f"{key}, or another baseline.checkpoint")

    def _range_of(self, trained: Trained) -> tuple[float, float] | None:
        return self.sigma_range or (tuple(trained.card.sigma) if trained.card.sigma else None)

    def _check_task(self, problem: Problem, trained: Trained) -> None:
        card, operator = trained.card, problem.operator
        if operator.task != card.task:
            instead = getattr(operator, "baseline", None)
            raise ValueError(f"baseline.checkpoint={trained.path}: was trained for task={card.task}, not for "
                             f"{operator.task}: " + (f"try baseline={instead}" if instead else "give another one"))
        for key, value in card.settings.items():
            if (own := getattr(operator, key, value)) != value:
                raise ValueError(f"task.{key}={own}: {trained.path} was trained for {key}={value}: give "
                                 f"task.{key}={value}, or another baseline.checkpoint")

    def _std(self, problem: Problem, trained: Trained) -> tuple[float | None, str]:
        """The standard deviation of the noise in [0, 1], and who says so; None: nobody knows, and it is not needed."""
        law, card = problem.noise, trained.card
        if self.sigma not in (None, BLIND):
            self.refuse_sigma(self.sigma, trained, "baseline.sigma")
            return self.sigma / LEVELS, "given"
        own = getattr(law, "std", None) if isinstance(law, Gaussian) or type(law).__name__ == card.noise else None
        if own is not None and (self.sigma is None or not card.noise_map):
            self.refuse_sigma(LEVELS * own, trained)
            return own, "task"
        std = problem.noise_std()
        if std is None:
            if card.noise_map:
                raise ValueError(f"the noise of {problem.name} cannot be estimated: give baseline.sigma=25, in 8-bit "
                                 "units")
            return None, "nobody"
        return self._in_range(std, trained), "estimate"

    def _in_range(self, std: float, trained: Trained) -> float:
        """An estimate as near as the range allows, with a warning where that is another value."""
        span, sigma = self._range_of(trained), LEVELS * std
        if span is None or span[0] - TOLERANCE <= sigma <= span[1] + TOLERANCE:
            return std
        nearest = min(max(sigma, span[0]), span[1])
        done = f"it is told {nearest:g}" if trained.card.noise_map else "expect too little or too much smoothing"
        self._say(logging.WARNING, f"the noise is estimated as {sigma:.1f} of 255, and {called(trained)} was trained "
                  f"for {span[0]:g} to {span[1]:g}: {done}")
        return nearest / LEVELS

    def _say(self, level: int, text: str) -> None:
        """Once for all frames of a clip."""
        if text not in self._said:
            self._said.add(text)
            log.log(level, "%s", text)


def called(trained: Trained) -> str:
    """The run's name, or that of the file."""
    return trained.path.parents[1].name if trained.path.parts[-2:] == BEST.parts else trained.path.name


@functools.lru_cache(maxsize=8)
def _loaded(checkpoint: str, root: str | None, stamp: tuple[int, int] | None) -> Trained:
    """Read once as long as its file's time and size stay the same."""
    return load(checkpoint, root)


def _sigma(value: object) -> float:
    try:
        return number("baseline.sigma", value, 0)
    except ValueError as error:
        raise ValueError(f"{error}, in 8-bit units, or blind") from None


def _range(ends: object) -> tuple[float, float]:
    pair = list(ends) if isinstance(ends, Sequence) and not isinstance(ends, str) else []
    if len(pair) != 2 or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in pair) \
            or not 0 <= pair[0] <= pair[1]:
        raise ValueError(f"baseline.sigma_range={ends}: give the lowest and the highest sigma: [25,25]")
    return float(pair[0]), float(pair[1])
