"""What a restorer is trained on: patches, degraded by the same operators and noises as any picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dip_lab.checks import integer
from dip_lab.data.images import Images
from dip_lab.data.training_set import TrainingSet
from dip_lab.problem import Problem, Task
from dip_lab.randomness import generator_of, seed_of
from dip_lab.tasks.inpaint import Masking
from dip_lab.tasks.masks import Mask
from dip_lab.training.laws import std_of
from dip_lab.training.restorer import inputs_of

HELD = 1_000_000_000  # bytes of decoded pictures at once; of a larger set, each epoch sees another part
LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
VIEWS = 8  # of the dihedral group


@dataclass(frozen=True)
class Degradation:
    """Makes a problem of clean pictures, each time with parts of its own.

    Attributes:
        task: gives the task's parts, anew for each call, since an operator remembers the picture that it was made for.
        noise_map: a restorer is told the standard deviation of the noise.
    """

    task: Callable[[], Task]
    noise_map: bool

    def problem(self, pixels: Tensor, seed: int, name: str = "patches") -> Problem:
        """The problem of clean pictures (N, C, H, W).

        Raises:
            ValueError: the task does not take them.
        """
        task = self.task()
        if len(pixels) > 1:
            for part in task.operator.modules():
                if isinstance(part, Masking) and not part.mask.path:
                    part.mask = partial(each, part.mask)
        return task.problem(Images(name, pixels, clean=True), seed)

    def inputs(self, problem: Problem, seed: int) -> Tensor:
        """What a restorer sees of it, `(N, channels + maps, H, W)`.

        Raises:
            ValueError: a noise map, and noise that has no standard deviation of its own.
        """
        return inputs_of(problem, self._stds(problem, seed) if self.noise_map else None)

    def _stds(self, problem: Problem, seed: int) -> Tensor:
        count = len(problem.observation)
        seeds = [seed] if count == 1 else [seed_of(seed, "frame", t) for t in range(count)]  # as the problem's noise
        stds = [std_of(problem.noise, each) for each in seeds]
        if None in stds:
            raise ValueError(f"restorer.noise_map=true: {type(problem.noise).__name__} has no standard deviation: give "
                             "task/noise=gaussian or restorer.noise_map=false")
        return torch.tensor(stds)


def each(mask: Mask, patches: Images, seed: int) -> Tensor:
    """A mask of its own for each patch, `(N, 1, H, W)`; the frames of a clip, which this is not, share one."""
    return torch.cat([mask(replace(patches, pixels=patches.pixels[t:t + 1]), seed_of(seed, "mask of a patch", t))
                      for t in range(len(patches.pixels))])


class Clean:
    """In the place of a degradation, for what is learnt from clean pictures alone: they are their own problem."""

    def problem(self, pixels: Tensor, seed: int, name: str = "patches") -> Tensor:
        """The pictures (N, C, H, W)."""
        return pixels

    def inputs(self, problem: Tensor, seed: int) -> Tensor:
        """The pictures."""
        return problem


class Pictures:
    """The training pictures in memory, 8 bits each: all of them, or a part that changes from epoch to epoch.

    Args:
        source: where they are.
        names: those to train on.
        channels: 1 or 3; None: as the pictures are.
        smallest: side of a patch, px.
        seed: decides which part an epoch has.
    """

    def __init__(self, source: TrainingSet, names: Sequence[str], channels: int | None, smallest: int, seed: int):
        self.source, self.names, self.seed = source, list(names), seed
        self.channels, self.smallest = channels, smallest
        self._epoch, self._held, self._all = -1, [], False

    def of_epoch(self, epoch: int) -> list[Tensor]:
        """The pictures (C, H, W) uint8 of an epoch: a function of the seed and its number.

        Raises:
            ValueError: one cannot be read, is smaller than a patch, or is grey where the others are in colour.
        """
        if epoch != self._epoch and not self._all:
            order = torch.randperm(len(self.names), generator=generator_of(self.seed, "pictures", epoch)).tolist()
            held, size = [], 0
            for index in order:
                held.append(self.picture(self.names[index]))
                size += held[-1].numel()
                if size > HELD:
                    break
            self._held, self._epoch = held, epoch
            self._all = len(held) == len(self.names)
            if self._all:  # from now on in the order of their names, so that every epoch is drawn alike
                self._held = [held[order.index(index)] for index in range(len(order))]
        return self._held

    def picture(self, name: str) -> Tensor:
        """(C, H, W) uint8."""
        pixels = as_channels(self.source.picture(name).pixels, self.channels, name)
        height, width = pixels.shape[-2:]
        if min(height, width) < self.smallest:
            raise ValueError(f"{name}: {width} x {height} px, smaller than a patch of {self.smallest}: leave it out, "
                             "or give a smaller patch=...")
        return (pixels[0] * 255).round().to(torch.uint8)


class Patches(Dataset):
    """Item t is the whole batch of step t, a function of (seed, t): (inputs, targets).

    Args:
        pictures: where patches are cut out.
        degradation: what is done to them.
        patch: their side, px.
        batch: how many.
        epoch: steps of an epoch.
        seed: decides everything.
    """

    def __init__(self, pictures: Pictures, degradation: Degradation | Clean, patch: int, batch: int, epoch: int,
                 seed: int):
        self.pictures, self.degradation = pictures, degradation
        self.patch, self.batch = integer("patch", patch, 8), integer("batch", batch, 2)
        self.epoch, self.seed = epoch, seed

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        clean = self.clean(step)
        seed = seed_of(self.seed, "degradation", step)
        problem = self.degradation.problem(clean, seed)
        return self.degradation.inputs(problem, seed), clean

    def clean(self, step: int) -> Tensor:
        """The patches (batch, C, patch, patch) of a step; each is turned or mirrored in one of eight ways."""
        held, side = self.pictures.of_epoch(step // self.epoch), self.patch
        draws = torch.rand(self.batch, 4, generator=generator_of(self.seed, "patches", step)).tolist()
        patches = []
        for which, down, right, turned in draws:
            picture = held[int(which * len(held))]
            height, width = picture.shape[-2:]
            top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
            patches.append(dihedral(picture[:, top:top + side, left:left + side], int(turned * VIEWS)))
        return torch.stack(patches).float() / 255


def dihedral(patch: Tensor, view: int) -> Tensor:
    """One of the eight views of a square: turned by a multiple of 90 degrees, and from 4 on mirrored."""
    turned = torch.rot90(patch, view % 4, (-2, -1))
    return turned.flip(-1) if view >= 4 else turned


def as_channels(pixels: Tensor, channels: int | None, name: str) -> Tensor:
    """(N, C, H, W) with `channels` channels: colour becomes its luma; None: as it is.

    Raises:
        ValueError: grey cannot become colour.
    """
    if channels in (None, pixels.shape[1]):
        return pixels
    if channels == 1:
        return (pixels * LUMA).sum(1, keepdim=True)
    raise ValueError(f"{name} is grey: give channels=1, or pictures in colour")


def _middle(side: int, most: int) -> slice:
    start = max(0, (side - most) // 2)
    return slice(start, start + min(side, most))


class HeldOut(Dataset):
    """The held-out pictures, the same noise in every epoch: (inputs, problem), at most `side` px from the middle."""

    def __init__(self, pictures: Pictures, names: Sequence[str], degradation: Degradation | Clean, side: int,
                 seed: int):
        self.items = []
        for number, name in enumerate(names):
            clean = pictures.picture(name)
            clean = clean[:, _middle(clean.shape[1], side), _middle(clean.shape[2], side)].float()[None] / 255
            own = seed_of(seed, "held out", number)
            problem = degradation.problem(clean, own, name)
            self.items.append((degradation.inputs(problem, own), problem))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Problem | Tensor]:
        return self.items[index]
