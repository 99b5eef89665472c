"""What is measured and what is known: the observation, its operator, its misfit, perhaps the target."""

import copy
import functools
import hashlib
import logging
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.data.array import check_sides
from dip_lab.data.images import MIN_SIDE, Images, read_picture
from dip_lab.data.registry import located
from dip_lab.frames import ALL, stacked
from dip_lab.randomness import seed_of
from dip_lab.tasks.evaluation import Evaluation
from dip_lab.tasks.noise import NoNoise, estimated_std
from dip_lab.tasks.noise_estimate import NoiseEstimate, estimate_noise
from dip_lab.tasks.operators import Operator, Stack, prepare, windowed
from dip_lab.tasks.views import View, is_picture

log = logging.getLogger(__name__)


class Problem(nn.Module):
    """One degraded picture, or the frames of one clip.

    Attributes:
        observation: what was measured, `(N, c, h, w)` float32; N is 1, or the number of a clip's frames.
        operator: image -> noiseless observation, an `nn.Module`.
        target: the ground truth, `(N, C, H, W)` float32 in [0, 1], or None.
        image_shape: `(N, C, H, W)` of the restoration.
        answer: stem of the restored picture's file name, such as `dip_denoised`.
        noise: the law that the noise of the observation was drawn from; None where it is not known.
        jpeg_quality: of the picture's file; None where it is not a JPEG.
        counted: 1 where the misfit looks at the observation and 0 elsewhere, broadcastable to it; None: everywhere.
    """

    def __init__(self, observation: Tensor, operator: Operator, misfit: nn.Module, evaluation: Evaluation, view: View,
                 target: Tensor | None, answer: str, name: str, noise: Any = None, jpeg_quality: int | None = None):
        super().__init__()
        self.operator = operator
        self.measure = misfit
        self.view = view
        self.noise = noise
        self.register_buffer("counted", operator.known, persistent=False)
        self.evaluation = evaluation
        self.answer = answer
        self.name = name
        self.jpeg_quality = jpeg_quality
        self.register_buffer("observation", observation, persistent=False)
        self._held: Tensor | None = None
        self.register_buffer("target", target, persistent=False)
        self.image_shape = (len(observation), *operator.image_shape(tuple(observation.shape[1:])))
        if hasattr(misfit, "prepare"):  # it depends on the observation
            misfit.prepare(self.noise_estimate)

    def misfit(self, image: Tensor, frames: slice = ALL, corruption: Tensor | None = None,
               observation: Tensor | None = None) -> Tensor:
        """Scalar data term between `A(image)` and the observation.

        Args:
            image: the images of `frames`.
            frames: those of the clip, or of the stack of tiles, that `image` holds.
            corruption: what is added to A(image), for all frames; None: nothing.
            observation: used instead of the problem's own.
        """
        prediction = (self.operator if frames == ALL else self.operator.of_frames(frames))(image)
        if corruption is not None:
            prediction = prediction + corruption[frames]
        counted = self.counted
        if counted is not None and len(counted) > 1:
            counted = counted[frames]
        observation = self.observation if observation is None else observation
        return self.measure(prediction, observation[frames], counted)

    @torch.no_grad()
    def check_misfit(self) -> None:
        """Try the data term on a black image.

        Raises:
            ValueError: the misfit is one for other observations, such as that of fusion for a single picture.
        """
        try:
            self.misfit(self.observation.new_zeros(1, *self.image_shape[1:]), slice(0, 1))
        except (RuntimeError, IndexError, TypeError) as error:
            raise ValueError(f"task/misfit: {type(self.measure).__name__} does not take an observation of shape "
                             f"{list(self.observation.shape[1:])}: try task/misfit=mse") from error

    def residual(self, prediction: Tensor) -> Tensor:
        """Mean square of a prediction A(x) less y where the misfit looks, whatever the misfit is; 0-d."""
        square = (prediction - self.observation).square()
        if self.counted is None:
            return square.mean()
        return (square * self.counted).sum() / self.counted.expand_as(square).sum()

    def hold_out(self, held: Tensor) -> None:
        """Leave the values of the observation where `held` (its shape, bool) is true out of the misfit, and of `guide`.
        """
        counted = torch.ones_like(self.observation) if self.counted is None else self.counted
        self.counted = counted * ~held
        self._held = held

    def digest(self) -> str:
        """Eight hexadecimal digits of the observation."""
        return hashlib.sha256(self.observation.cpu().contiguous().numpy()).hexdigest()[:8]

    @torch.no_grad()
    def scores(self, image: Tensor) -> dict[str, float]:
        """PSNR, SSIM and the task's own scores of an image against the target; empty without a target.

        For a clip: the means over its frames.
        """
        rows = self.frame_scores(image)
        return {key: statistics.fmean(row[key] for row in rows) for key in rows[0]} if rows else {}

    @torch.no_grad()
    def frame_scores(self, image: Tensor) -> list[dict[str, float]]:
        """The scores of each frame; one row for a picture, none without a target."""
        if self.target is None:
            return []
        rows = []
        for frame in self._frames():
            shown, operator = self.view.shown(image[frame]), self.operator.of_frames(frame)
            scores = self.evaluation.scores(shown, self.target[frame], operator)
            rows.append({key: float(value) for key, value in scores.items()})
        return rows

    @torch.no_grad()
    def final_scores(self, image: Tensor) -> dict[str, float]:
        """The task's scores of the answer that need no target, if it has any."""
        return self.evaluation.final(image, self)

    @torch.no_grad()
    def observed(self) -> Tensor:
        """The observation at the restoration's size: what a person sees before the restoration."""
        frames = (self.view.observed(self.observation[frame], self.operator.of_frames(frame))
                  for frame in self._frames())
        return stacked(frames, len(self.observation))

    @torch.no_grad()
    def guide(self) -> Tensor:
        """What a network gets as its input, made from the observation that a fit may see, `(N, c, H, W)`."""
        return self.view.guide(self.seen(), self.operator)

    @torch.no_grad()
    def seen(self) -> Tensor:
        """The observation as a fit may see it: in place of each value that is held out, the mean of its neighbours."""
        if self._held is None:
            return self.observation
        counted = self.counted.expand_as(self.observation)
        near = F.avg_pool2d(self.observation * counted, 3, 1, 1) / F.avg_pool2d(counted, 3, 1, 1).clamp(min=1e-6)
        return torch.where(self._held.to(near.device), near, self.observation)

    def noise_std(self) -> float | None:
        """Standard deviation of the observation's noise, as estimated from (the first frame of) it.

        Noise that was added is taken to be white, that of a given observation may be anything. None where it is not a
        picture, or where no four pixels together were measured.
        """
        if self.noise is None and self.noise_estimate is not None:
            return self.noise_estimate.std
        if not self._is_picture:
            return None
        std = estimated_std(*self._first_frame)
        return None if math.isnan(std) else std

    @functools.cached_property
    def noise_estimate(self) -> NoiseEstimate | None:
        """What (the first frame of) the observation tells about its noise.

        None where it is not a picture, or where too little of it was measured.
        """
        return estimate_noise(*self._first_frame) if self._is_picture else None

    @torch.no_grad()
    def shown(self, image: Tensor) -> Tensor:
        """The form in which an image is shown and scored."""
        return self.view.shown(image)

    def pictures(self) -> dict[str, Tensor]:
        """What a person sees before the restoration: the `target`, if there is one, and what is `observed`."""
        known = {} if self.target is None else {"target": self.target}
        return {**known, "observed": self.shown(self.observed())}

    def part(self, frames: slice = ALL, rows: slice = ALL, columns: slice = ALL) -> "Problem":
        """The same problem for some frames, or for a window of the image, with its own misfit.

        Raises:
            ValueError: the operator measures the picture as a whole.
        """
        operator, view, height, width = self.operator, self.view, ALL, ALL
        if (rows, columns) != (ALL, ALL):
            operator, height, width = windowed(operator, rows, columns)
            view = view.window(rows, columns)
        if len(self.observation) > 1:
            operator = operator.of_frames(frames)
        target = None if self.target is None else self.target[frames, :, rows, columns].contiguous()
        part = self._like(self.observation[frames, :, height, width].contiguous(), operator, view, target)
        if self._held is not None:
            part.hold_out(self._held[frames, :, height, width])
        return part

    def stacked(self, windows: Sequence[tuple[slice, slice]]) -> "Problem":
        """Equal windows (rows, columns) of a picture as a stack, which one network can restore."""
        parts = [self.part(ALL, *window) for window in windows]
        target = None if self.target is None else torch.cat([part.target for part in parts])
        return self._like(torch.cat([part.observation for part in parts]), Stack([part.operator for part in parts]),
                          parts[0].view, target)

    @property
    def _is_picture(self) -> bool:
        return is_picture(self.observation.shape[1:], self.image_shape[1:])

    @property
    def _first_frame(self) -> tuple[Tensor, Tensor | None]:
        """The first frame's observation, and where it was measured."""
        known = self.operator.known
        return self.observation[:1], None if known is None else known[:1]

    def _like(self, observation: Tensor, operator: Operator, view: View, target: Tensor | None) -> "Problem":
        return Problem(observation, operator, copy.deepcopy(self.measure), self.evaluation, view, target, self.answer,
                       self.name, self.noise, self.jpeg_quality)

    def _frames(self) -> list[slice]:
        return [slice(t, t + 1) for t in range(len(self.observation))]


@dataclass
class Task:
    """A degradation, and how its restoration is measured and shown: the parts that a YAML of configs/task names.

    Attributes:
        operator, noise, observe, misfit, evaluation, view: see the modules of `dip_lab.tasks`.
        answer: stem of the restored picture's file name.
        given: the picture is the observation.
        observation: a file with the observation; the picture is then only the target.
    """

    operator: Operator
    noise: Callable[[Tensor, int], Tensor]
    observe: Callable[[Tensor, Operator], Tensor]
    misfit: nn.Module
    evaluation: Evaluation
    view: View
    answer: str
    given: bool
    observation: str | None

    def problem(self, images: Images, seed: int) -> Problem:
        """Degrade a picture; or take it as the observation (`given`, or nothing degrades it).

        The noise of a clip's frame depends on its number. Noise that nobody asked for is only added to a picture that
        is known to be clean. A picture with an observation of its own (`images.observed`) brings its own noise, whose
        law is not known: `task/noise` and `task.sigma` have no effect. A blur or another operator then acts on what was
        observed; with `given`, that is all there is, and the target is left out.

        Raises:
            ValueError: the operator cannot map the picture, or cannot have made it; a value is NaN or infinite.
        """
        for values in (images.pixels, images.observed, images.alpha):
            _refuse_not_finite(values, images.name)
        given = self.given and self.observation is None
        if given and images.observed is not None:
            images = replace(images, pixels=images.observed, observed=None)
        operator, noise, target = self.operator, self.noise, images.pixels
        if not given:
            check_sides(images)
        prepare(operator, images, seed, given)
        if given and min(operator.image_shape(tuple(images.pixels.shape[1:]))[1:]) < MIN_SIDE:
            check_sides(images)  # a sinogram or another measurement may be as narrow as it likes
        self.view.prepare(images)
        if getattr(noise, "optional", False) and not images.clean:
            noise = NoNoise()
        untouched = not any(getattr(part, "degrades", True) for part in (operator, noise, self.observe))
        if self.observation is not None:
            observation, noise = self._ready(images), None
        elif images.observed is not None:
            observation, noise = self.observe(images.observed, operator), None
        elif given or untouched:
            target = noise = None
            observation = operator.given(images.pixels)
            self._check_given(observation, images.name)
        elif len(target) == 1:
            observation = noise(self.observe(target, operator), seed)
        else:
            observation = stacked(self._each_frame(target, noise, seed), len(target))
        if target is not None and operator.known is not None:
            observation *= operator.known  # what was not measured has no noise
        _refuse_not_finite(observation, f"the observation of {images.name}, as the task makes it")
        return Problem(observation, operator, self.misfit, self.evaluation, self.view, target, self.answer, images.name,
                       noise, images.conventions.quality)

    def _each_frame(self, target: Tensor, noise: Callable[[Tensor, int], Tensor], seed: int) -> Iterator[Tensor]:
        """The observations of a clip's frames."""
        for t in range(len(target)):
            frame = slice(t, t + 1)
            observed = self.observe(target[frame], self.operator.of_frames(frame))
            yield noise(observed, seed_of(seed, "frame", t))

    @torch.no_grad()
    def _check_given(self, observation: Tensor, name: str) -> None:
        if self.operator.broadcasts:
            return
        operator, shape = self.operator.of_frames(slice(0, 1)), tuple(observation.shape[1:])
        made = tuple(operator(observation.new_zeros(1, *operator.image_shape(shape))).shape[1:])
        if made != shape:
            raise ValueError(f"task.given=true: {type(operator).__name__} makes {made[0]} channels of "
                             f"{made[2]} x {made[1]} px, but {name} has {shape[0]} of {shape[2]} x {shape[1]}: "
                             f"give a picture that it can have made")

    def _ready(self, images: Images) -> Tensor:
        """The observation in a file, such as the one that a paper's authors used.

        Raises:
            ValueError: its size or channels are not those of the operator's observation of the picture.
        """
        file = read_picture(located(self.observation, images.root))
        observation, profile = file.pixels, file.conventions.profile
        if profile and file.conventions.icc != images.conventions.icc:
            log.info("task.observation=%s: its ICC profile %s is not kept, the restored file has %s", self.observation,
                     profile, "the target's" if images.conventions.icc else "none")
        expected = self.operator(images.pixels)
        if observation.shape != expected.shape:
            (_, channels, rows, columns), (_, wanted, height, width) = observation.shape, expected.shape
            raise ValueError(f"task.observation={self.observation} is {columns} x {rows} px with {channels} channels, "
                             f"but {images.name} is observed as {width} x {height} px with {wanted}: give its own "
                             "observation")
        if observation.shape == images.pixels.shape:
            observation = self.operator(observation)  # what lies under a mask's holes was not measured
        return observation


def _refuse_not_finite(values: Tensor | None, name: str) -> None:
    if values is not None and (wrong := int((~values.isfinite()).sum())):
        raise ValueError(f"{name}: {wrong} of {values.numel()} values are NaN or infinite: replace them by numbers")
