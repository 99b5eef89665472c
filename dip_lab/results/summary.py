"""What is known about a restoration, typed: the content of result.json. No torch."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dip_lab.runs.identity import Cell
from dip_lab.scores import OWN, SCORES, Score, described

# Every result.json has these scores of the answer and of the two images behind it; null where the task has none.
ANSWER = ("psnr", "ssim", "psnr_8bit", "psnr_y", "psnr_hole")


def white_of(uncertainty_mean: float) -> int:
    """What is white where standard deviations and errors are drawn, in 8-bit units: a power of two, or 255.

    At least four times the mean of the standard deviations, so that an error of four of them can be told from smaller
    ones; only a few values, so that most runs can be compared by eye.

    >>> white_of(3 / 255), white_of(0.5)
    (16, 255)
    """
    return next((2**n for n in range(8) if 2**n >= 4 * 255 * uncertainty_mean), 255)


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary(Mapping[str, Any]):
    """What `result.json` holds. Also a read-only mapping of its keys: `summary["psnr"]`.

    Values that a baseline, a part or a picture does not have are None.

    Attributes:
        cell: which experiment it is, and how it came to be.
        picture: name of the picture.
        observation: eight hexadecimal digits of what was restored.
        answer: stem of the picture's file name, such as `dip_denoised`.
        noise_estimate: what the observation tells about its noise, see `dip_lab.tasks.noise_estimate`; standard
            deviations in 8-bit units.
        jpeg_quality: of the picture's file, 1 to 100; None where it is not a JPEG.
        psnr_observed: PSNR of the observation at the image's size, in dB.
        status: done, interrupted or failed.
        error: why it failed.
        stop_reason: why the fit ended.
        iterations: how many were made; for parts, the most of any of them.
        chosen_iteration: the one that the answer is from; for parts, their mean.
        oracle: the stopping rule looked at the target.
        scores: of the answer, by their keys in `dip_lab.scores` or the task's own.
        output: scores of the single output at the chosen iteration.
        average: scores of the running average there.
        own: entries for the task's own scores.
        psnr_held_out: how well observed values that were not fitted are predicted, in dB.
        psnr_last: PSNR at the last iteration.
        psnr_peak: the best along the run, known only with the target.
        peak_iteration: where that was.
        guard_events: what the guard rolled back.
        frames: how many a clip has.
        uncertainty_mean, uncertainty_max: of the pixels' standard deviations, each the mean over its channels, in
            [0, 1].
        members: for several seeds, what each reached.
        parts: for tiles, chunks or frames, what each reached.
        restorer: what was trained on pictures, a baseline or the start of a fit: its file's digest, what it was trained
            on and, for a baseline, which sigma it was told. None: nothing was.
    """

    cell: Cell
    picture: str
    observation: str
    answer: str
    jpeg_quality: int | None = None
    noise_estimate: Mapping[str, Any] | None = None
    psnr_observed: float | None
    status: str = "done"
    error: str | None = None
    iterations: int | None = None
    chosen_iteration: int | None = None
    stop_reason: str
    oracle: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    output: Mapping[str, float] = field(default_factory=dict)
    average: Mapping[str, float] = field(default_factory=dict)
    own: Sequence[Score] = ()
    psnr_held_out: float | None = None
    psnr_last: float | None = None
    psnr_peak: float | None = None
    peak_iteration: int | None = None
    guard_events: Sequence[Mapping[str, Any]] | None = None
    seconds: float = 0.0
    seconds_per_iteration: float | None = None
    peak_memory_mb: float | None = None
    device: str
    precision: str | None = None
    parameters: int | None = None
    frames: int | None = None
    uncertainty_mean: float | None = None
    uncertainty_max: float | None = None
    members: Sequence[Mapping[str, Any]] | None = None
    parts: Sequence[Mapping[str, Any]] | None = None
    restorer: Mapping[str, Any] | None = None
    versions: Mapping[str, str]

    @classmethod
    def read(cls, result: Mapping[str, Any], cell: Cell) -> "Summary":
        """The summary that a result.json holds.

        Raises:
            TypeError: the result is that of an unfinished cell.
        """
        own = [Score(**entry) for entry in result.get(OWN, ())]
        keys = [*ANSWER, *SCORES, *(score.key for score in own)]
        plain = {each.name: result[each.name] for each in fields(cls) if each.name in result}
        taken = {key: result[key] for key in keys if key not in plain and result.get(key) is not None}
        others = {name: {key: result[f"{key}_{name}"] for key in keys if result.get(f"{key}_{name}") is not None}
                  for name in ("output", "average")}
        return cls(**plain | {"cell": cell, "scores": taken, "own": own, **others})

    @functools.cached_property
    def _content(self) -> dict[str, Any]:
        missing, content = dict.fromkeys(ANSWER), dict(self.cell.description)
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "scores":
                content |= {**missing, **value}
            elif each.name in ("output", "average"):
                content |= {f"{key}_{each.name}": score for key, score in {**missing, **value}.items()}
            elif each.name == "own":
                content[OWN] = described(self.scores, value)
            elif each.name != "cell":
                content[each.name] = value
        return {**content, **self.cell.provenance}

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)
