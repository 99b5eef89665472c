"""What is measured and what is known: the observation, its operator, its misfit, perhaps the target."""

import copy
import hashlib
import statistics
from collections.abc import Iterator, Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from dip_lab.data.registry import located
from dip_lab.images import Picture, read_picture, stacked
from dip_lab.instantiate import instantiate
from dip_lab.randomness import seed_of
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.noise import NoNoise
from dip_lab.tasks.observations import ByOperator
from dip_lab.tasks.operators import ALL, Operator


class Problem(nn.Module):
    """One degraded picture, or the frames of one clip.

    Attributes:
        observation: what was measured, `(N, c, h, w)` float32; N is 1, or the number of a clip's frames.
        operator: image -> noiseless observation, an `nn.Module` with an adjoint.
        target: the ground truth, `(N, C, H, W)` float32 in [0, 1], or None.
        image_shape: `(N, C, H, W)` of the restoration.
        answer: stem of the restored picture's file name, such as `dip_denoised`.
        noise: the law that the noise of the observation was drawn from; None where nobody knows it.
        counted: 1 where the misfit looks at the observation and 0 elsewhere, broadcastable to it; None: everywhere.
        frames: those of the clip that `misfit` is given now; all, unless a fit takes them in batches.
    """

    def __init__(self, observation: Tensor, operator: Operator, misfit: nn.Module, evaluation, target: Tensor | None,
                 answer: str, name: str, noise=None):
        super().__init__()
        self.operator = operator
        self.measure = misfit
        self.noise = noise
        self.register_buffer("counted", operator.known, persistent=False)
        self.evaluation = evaluation
        self.answer = answer
        self.name = name
        self.frames = ALL
        self.register_buffer("observation", observation, persistent=False)
        self.register_buffer("target", target, persistent=False)
        self.image_shape = (len(observation), *operator.image_shape(tuple(observation.shape[1:])))

    def misfit(self, image: Tensor, corruption: Tensor | None = None) -> Tensor:
        """Scalar data term between `A(image)` and the observation; `corruption` is what is added to A(image).

        `image` holds the `frames` of a clip, `corruption` is of all of them.
        """
        self.operator.frames = self.frames
        prediction = self.operator(image)
        self.operator.frames = ALL
        if corruption is not None:
            prediction = prediction + corruption[self.frames]
        counted = self.counted
        if counted is not None and len(counted) > 1:
            counted = counted[self.frames]
        return self.measure(prediction, self.observation[self.frames], counted)

    def hold_out(self, held: Tensor) -> None:
        """Leave the values of the observation where `held` (its shape, bool) is true out of the misfit."""
        counted = torch.ones_like(self.observation) if self.counted is None else self.counted
        self.counted = counted * ~held

    def digest(self) -> str:
        """Eight hexadecimal digits of the observation."""
        return hashlib.sha256(self.observation.cpu().contiguous().numpy()).hexdigest()[:8]

    @torch.no_grad()
    def scores(self, image: Tensor) -> dict[str, float]:
        """PSNR, SSIM and the task's own figures of an image against the target; empty without a target.

        Of a clip: the means over its frames.
        """
        rows = self.frame_scores(image)
        return {key: statistics.fmean(row[key] for row in rows) for key in rows[0]} if rows else {}

    @torch.no_grad()
    def frame_scores(self, image: Tensor) -> list[dict[str, float]]:
        """The scores of each frame; one row for a picture, none without a target."""
        if self.target is None:
            return []
        rows = []
        for t in range(len(self.target)):
            frame = slice(t, t + 1)
            self.operator.frames = frame
            scores = self.evaluation.scores(self.operator.shown(image[frame]), self.target[frame], self.operator)
            rows.append({key: float(value) for key, value in scores.items()})
        self.operator.frames = ALL
        return rows

    @torch.no_grad()
    def final_scores(self, image: Tensor) -> dict[str, float]:
        """Figures of the answer that need no target, where the task has such."""
        return self.evaluation.final(image, self)

    @torch.no_grad()
    def observed(self) -> Tensor:
        """The observation at the restoration's size: what a person sees before the restoration."""
        frames = (self.operator.of_frames(slice(t, t + 1)).observed(self.observation[t : t + 1])
                  for t in range(len(self.observation)))
        return stacked(frames, len(self.observation))

    @torch.no_grad()
    def guide(self) -> Tensor:
        """What of the observation a network is given as its input, `(N, c, H, W)`."""
        return self.operator.guide(self.observation)

    @torch.no_grad()
    def shown(self, image: Tensor) -> Tensor:
        """What a person looks at of an image, and what is scored."""
        return self.operator.shown(image)

    def pictures(self) -> dict[str, Tensor]:
        """What a person sees before the restoration: the `target`, if there is one, and what is `observed`."""
        known = {} if self.target is None else {"target": self.target}
        return {**known, "observed": self.shown(self.observed())}

    def part(self, frames: slice = ALL, rows: slice = ALL, columns: slice = ALL) -> "Problem":
        """The same problem of some frames, or of a window of the image, with a misfit of its own.

        Raises:
            ValueError: the operator measures the picture as a whole.
        """
        operator, height, width = self.operator, ALL, ALL
        if (rows, columns) != (ALL, ALL):
            operator, height, width = operator.window(rows, columns)
        if len(self.observation) > 1:
            operator = operator.of_frames(frames)
        target = None if self.target is None else self.target[frames, :, rows, columns].contiguous()
        return Problem(self.observation[frames, :, height, width].contiguous(), operator, copy.deepcopy(self.measure),
                       self.evaluation, target, self.answer, self.name, self.noise)

    def stacked(self, windows: Sequence[tuple[slice, slice]]) -> "Problem":
        """Equal windows (rows, columns) of a picture as if they were the frames of a clip."""
        parts = [self.part(ALL, *window) for window in windows]
        first = parts[0]
        target = None if self.target is None else torch.cat([part.target for part in parts])
        return Problem(torch.cat([part.observation for part in parts]),
                       first.operator.joined([part.operator for part in parts[1:]]), first.measure, self.evaluation,
                       target, self.answer, self.name, self.noise)


def build_problem(task: DictConfig, picture: Picture, seed: int) -> Problem:
    """Degrade a picture as the task's YAML says; or take it as the observation (`given`, or nothing degrades it).

    With a ready `observation` the picture is only the target. The noise of a clip's frame depends on its number.
    """
    operator, noise, observe = (instantiate(task[key]) for key in ("operator", "noise", "observe"))
    target = picture.pixels
    untouched = isinstance(operator, Identity) and isinstance(noise, NoNoise) and isinstance(observe, ByOperator)
    if task.given and task.observation is None:
        operator.prepare_given(picture, seed)
    else:
        operator.prepare(picture, seed)
    if task.observation is not None:
        observation, noise = ready_observation(task.observation, picture, operator), None
    elif task.given or untouched:
        target = noise = None
        observation = operator.given(picture.pixels)
    elif len(target) == 1:
        observation = noise(observe(target, operator), seed)
    else:
        observation = stacked(_each_frame(target, operator, observe, noise, seed), len(target))
    if target is not None and operator.known is not None:
        observation *= operator.known  # what was not measured has no noise
    return Problem(observation, operator, instantiate(task.misfit), instantiate(task.evaluation), target,
                   task.answer, picture.name, noise)


def _each_frame(target: Tensor, operator: Operator, observe, noise, seed: int) -> Iterator[Tensor]:
    """The observations of a clip's frames."""
    for t in range(len(target)):
        operator.frames = slice(t, t + 1)
        yield noise(observe(target[t : t + 1], operator), seed_of(seed, "frame", t))
    operator.frames = ALL


def ready_observation(path: str, picture: Picture, operator: nn.Module) -> Tensor:
    """The observation in a file, such as the authors' own of a paper.

    Raises:
        ValueError: its size or channels are not those of the operator's observation of the picture.
    """
    observation = read_picture(located(path, picture.root)).pixels
    expected = operator(picture.pixels)
    if observation.shape != expected.shape:
        (_, channels, rows, columns), (_, wanted, height, width) = observation.shape, expected.shape
        raise ValueError(f"task.observation={path} is {columns} x {rows} px with {channels} channels, but "
                         f"{picture.name} is observed as {width} x {height} px with {wanted}: give its own observation")
    if observation.shape == picture.pixels.shape:
        observation = operator(observation)  # what lies under a mask's holes was not measured
    return observation
