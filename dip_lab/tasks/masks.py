"""Masks: callables (picture, seed) -> bool tensor (1, 1, H, W) or (1, C, H, W), True = known."""

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from PIL import Image, ImageColor, ImageDraw, ImageFont
from torch import Tensor

from dip_lab.checks import integer, number, one_of
from dip_lab.data.clips import frames_of, is_clip
from dip_lab.data.images import Images, mean, read_picture
from dip_lab.data.registry import located
from dip_lab.data.sizes import following
from dip_lab.randomness import generator_of

_log = logging.getLogger(__name__)
GREY = 0.15  # largest share of a mask's pixels in the middle half of its levels: the edges of a soft brush
RIM = 3  # px around paint that JPEG has mixed with it
VERTICES = 8  # of a brush stroke


def check_same_size(key: str, path: str, pixels: Tensor, picture: Images) -> None:
    """Refuse a file that is not of the picture's size."""
    (height, width), (rows, columns) = picture.pixels.shape[-2:], pixels.shape[-2:]
    if (rows, columns) != (height, width):
        raise ValueError(
            f"{key}={path} is {columns} x {rows} px (width x height) but the picture is {width} x {height} px: "
            f"give a file of that size (data.size may have changed the picture's)"
        )


def cut(key: str, path: str, grey: Tensor, remedy: str) -> Tensor:
    """Bool, true where the grey levels of a mask file are the brighter ones: above the middle of their range.

    Two levels are told apart whatever they are: 0 and 255, 0 and 1, the 0 and 2 of a labeller. Where there is only
    one, it counts as bright unless it is 0.

    Raises:
        ValueError: more than `GREY` of the pixels lie in the middle half of the range, as in a photo; the message
            ends with the `remedy`.
    """
    low, high = grey.min(), grey.max()
    if low == high:
        return grey > 0
    place = (grey - low).div_(high - low)
    if (share := _share((place > 0.25) & (place < 0.75))) > GREY:
        if not bool(((grey == low) | (grey == high)).all()):
            raise ValueError(f"{key}={path} is no mask: {100 * share:.0f} % of its pixels are neither dark nor bright: "
                             f"{remedy}")
    soft = _share((place > 0.02) & (place < 0.98))
    if soft:
        _log.info("%s=%s: %.1f %% of the pixels are grey, cut at one half", key, path, 100 * soft)
    return place >= 0.5


def _share(which: Tensor) -> float:
    return int(which.count_nonzero()) / which.numel()


@dataclass(frozen=True)
class Mask:
    """A mask from the file `path`, which for a clip may hold one for each frame; without a file, a subclass draws it.

    Files: `polarity=white` means that white is known (the convention of the published data), `black` that white is the
    hole. Channels are averaged, and their levels are `cut` in the middle. The size must be the picture's, or that of
    the picture's file: the mask is then made smaller as the picture was, and what is partly a hole is a hole.

    Raises:
        ValueError: (in the call) a file of another size, a photo, or a mask that is only in its alpha channel.
    """

    path: str | None
    polarity: str

    def __post_init__(self) -> None:
        one_of("task.mask.polarity", self.polarity, ("white", "black"))

    def __call__(self, picture: Images, seed: int) -> Tensor:
        """The mask of `picture`; laws are a function of (picture size, seed)."""
        return self._read(picture) if self.path else self.draw(picture, seed)

    def draw(self, picture: Images, seed: int) -> Tensor:
        """The law of the subclass, True = known."""
        raise NotImplementedError

    def _read(self, picture: Images) -> Tensor:
        if len(picture.pixels) > 1 and is_clip(self.path):
            files = (self._levelled(frame) for frame in frames_of(self.path, picture.selection))
        else:
            paths = [located(self.path, picture.root)]
            files = (read_picture(path, keep=self._level) for path in paths)  # a large one is kept nowhere else
        return following(self._cut(self._fitting(files, picture)), picture)

    def _fitting(self, files: Iterable[Images], picture: Images) -> Iterator[Images]:
        """The files, whose size is looked at before anything else."""
        for file in files:
            if tuple(file.pixels.shape[-2:]) != picture.original:
                check_same_size("task.mask.path", self.path, file.pixels, picture)
            yield file

    def _level(self, pixels: Tensor) -> Tensor:
        """What tells hole from known, (N, 1, H, W)."""
        return mean(pixels)

    def _levelled(self, file: Images) -> Images:
        return replace(file, pixels=self._level(file.pixels))

    def _cut(self, files: Iterable[Images]) -> Tensor:
        """What is known in each file of levels, (N, 1, H, W), at the files' own size."""
        grey = cut("task.mask.path", self.path, torch.cat([self._grey(file) for file in files]),
                   "give a picture of black and white only, or, if the hole is painted over a photo, its colour: "
                   "task/mask=color task.mask.color=red")
        return grey == (self.polarity == "white")

    def _grey(self, file: Images) -> Tensor:
        grey = file.pixels
        if (
            bool(grey.min() == grey.max())
            and file.alpha is not None
            and bool(file.alpha.min() < file.alpha.max())
        ):
            raise ValueError(
                f"task.mask.path={self.path} has one colour only, its mask seems to be in the alpha channel: "
                f"save that channel as a black and white picture, white = known"
            )
        return grey


@dataclass(frozen=True)
class File(Mask):
    """Only the file: `path` must be given."""

    def draw(self, picture: Images, seed: int) -> Tensor:
        raise ValueError(
            "task.mask.path is empty: give a mask file, task.mask.path=holes.png, or a law, task/mask=blobs"
        )


@dataclass(frozen=True)
class Observed(Mask):
    """Known is what is not black in the observation `path`, and what is black in both it and the picture.

    A pixel that is black in both may have been known or not. One picture of the published table (peppers) has a black
    border, which no method could guess if all of it counted as a hole.
    """

    def __call__(self, picture: Images, seed: int) -> Tensor:
        """The mask, True = known."""
        if not self.path:
            raise ValueError("task/mask=observed needs task.observation=...: a picture with black holes")
        observation = read_picture(located(self.path, picture.root)).pixels
        check_same_size("task.observation", self.path, observation, picture)
        return (observation > 0).any(1, keepdim=True) | (picture.pixels == 0).all(1, keepdim=True)


@dataclass(frozen=True)
class Alpha(Mask):
    """The picture's own transparency: what is more than half transparent is the hole."""

    def draw(self, picture: Images, seed: int) -> Tensor:
        if picture.alpha is None:
            raise ValueError(
                f"task/mask=alpha: the picture {picture.name} has no transparent pixels: erase the holes to "
                f"transparency, or give a mask, task/mask=file task.mask.path=holes.png"
            )
        return picture.alpha >= 0.5


@dataclass(frozen=True)
class Color(Mask):
    """What is painted over in one `color` is the hole: in the picture itself or, if there is a `path`, in that file.

    `polarity=black` turns it round: only what is painted is known. JPEG and `data.size` mix paint with what is around
    it: around the paint of a JPEG, or of a picture that was made smaller, `RIM` more pixels belong to the hole.

    Args:
        color: a name, #rrggbb, or another form that Pillow's ImageColor knows.
        tolerance: how far each channel of a painted pixel may be from it, in 8-bit units.

    Raises:
        ValueError: there is no such colour; in the call, no pixel has it.
    """

    color: str
    tolerance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        number("task.mask.tolerance", self.tolerance, 0, 255)
        self._rgb()

    def draw(self, picture: Images, seed: int) -> Tensor:
        if picture.pixels.shape[1] not in (1, 3):
            raise ValueError(f"task/mask=color: {picture.name} has {picture.pixels.shape[1]} channels, so there are no "
                             "colours: give a mask, task/mask=file task.mask.path=holes.png")
        return self._cut([self._levelled(picture)])

    def _level(self, pixels: Tensor) -> Tensor:
        """How far each pixel is from the colour: the largest difference of a channel, in 8-bit units."""
        return (255 * (pixels - self._rgb())).abs().amax(1, keepdim=True)  # of grey: to each channel

    def _cut(self, files: Iterable[Images]) -> Tensor:
        painted, nearest, name = [], math.inf, ""
        for file in files:
            distance = file.pixels
            nearest, name = min(nearest, distance.min().item()), self.path or file.name
            here = distance < self.tolerance + 0.5  # those of 16 bits, or of a smaller picture, are not whole numbers
            if file.conventions.quality is not None or file.changes:
                here = F.max_pool2d(here.float(), 2 * RIM + 1, 1, RIM) > 0
            painted.append(here)
        if not any(bool(each.any()) for each in painted):
            raise ValueError(f"task.mask.color={self.color}: nothing in {name} is painted in it, the nearest pixel is "
                             f"{nearest:.0f} of 255 away: give the paint's own colour, such as #e01b24, or "
                             f"task.mask.tolerance={math.ceil(nearest)}")
        return torch.cat(painted) != (self.polarity == "white")

    def _rgb(self) -> Tensor:
        """(1, 3, 1, 1) in [0, 1]."""
        try:
            red, green, blue = ImageColor.getcolor(str(self.color), "RGB")
        except ValueError:
            raise ValueError(f"task.mask.color={self.color}: there is no such colour: give a name such as red, or "
                             "#rrggbb") from None
        return torch.tensor([red, green, blue]).reshape(1, 3, 1, 1) / 255


@dataclass(frozen=True)
class Bernoulli(Mask):
    """Each pixel is missing with probability `missing`; `per_channel` draws holes for each channel separately."""

    missing: float
    per_channel: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        number("task.mask.missing", self.missing, 0, 1)

    def draw(self, picture: Images, seed: int) -> Tensor:
        channels = picture.pixels.shape[1] if self.per_channel else 1
        draw = torch.rand(1, channels, *picture.pixels.shape[-2:], generator=generator_of(seed, "mask"))
        return draw >= self.missing


@dataclass(frozen=True)
class Box(Mask):
    """A hole in the middle; its sides are `fraction` of the picture's, and at least 1 px."""

    fraction: float

    def __post_init__(self) -> None:
        super().__post_init__()
        number("task.mask.fraction", self.fraction, 0, 1, above=True)

    def draw(self, picture: Images, seed: int) -> Tensor:
        known = torch.ones(1, 1, *picture.pixels.shape[-2:], dtype=torch.bool)
        slices = []
        for side in picture.pixels.shape[-2:]:
            hole = max(1, round(self.fraction * side))
            slices.append(slice((side - hole) // 2, (side - hole) // 2 + hole))
        known[(..., *slices)] = False
        return known


@dataclass(frozen=True)
class Blobs(Mask):
    """Smooth random holes over exactly the fraction `missing` of the pixels.

    The lowest values of white noise blurred by a Gaussian, whose sigma is `scale` times the shorter side.
    """

    missing: float
    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        number("task.mask.missing", self.missing, 0, 1)
        number("task.mask.scale", self.scale, 0, 1, above=True)

    def draw(self, picture: Images, seed: int) -> Tensor:
        height, width = picture.pixels.shape[-2:]
        noise = torch.randn(height, width, generator=generator_of(seed, "mask"), dtype=torch.float64)
        sigma = self.scale * min(height, width)
        squared = torch.fft.fftfreq(height).square()[:, None] + torch.fft.rfftfreq(width).square()
        blur = torch.exp(-2 * (math.pi * sigma) ** 2 * squared)
        smooth = torch.fft.irfft2(torch.fft.rfft2(noise) * blur, s=(height, width)).flatten()
        known = torch.ones(height * width, dtype=torch.bool)
        known[smooth.argsort()[: round(self.missing * height * width)]] = False
        return known.reshape(1, 1, height, width)


@dataclass(frozen=True)
class Text(Mask):
    """`text`, repeated in `lines` evenly spaced lines of letters `size` times the picture's height.

    Where a line's text starts depends on the seed. Drawn with the font inside Pillow, so no file is needed.
    """

    text: str
    lines: int
    size: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "lines", integer("task.mask.lines", self.lines, 1))
        number("task.mask.size", self.size, 0, 1, above=True)
        if not str(self.text).strip():
            raise ValueError("task.mask.text is empty: give the words to draw, task.mask.text='some words'")

    def draw(self, picture: Images, seed: int) -> Tensor:
        height, width = picture.pixels.shape[-2:]
        canvas = Image.new("L", (width, height), 255)
        pen = ImageDraw.Draw(canvas)
        pen.fontmode = "1"  # no grey edges
        font = ImageFont.load_default(max(5.0, self.size * height))
        words = f"{self.text} "
        period = max(1, math.ceil(pen.textlength(words, font)))
        starts = torch.randint(period, (self.lines,), generator=generator_of(seed, "mask")).tolist()
        line = words * (2 + width // period)
        for index, start in enumerate(starts):
            pen.text((-start, height * (index + 0.5) / self.lines), line, fill=0, font=font, anchor="lm")
        return (
            torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8).reshape(1, 1, height, width)
            > 127
        )


@dataclass(frozen=True)
class Strokes(Mask):
    """Brush strokes and boxes at random places, over a share of the picture that is itself random.

    Free-form masks as those of DeepFill v2, https://arxiv.org/abs/1806.03589. The share is drawn from `missing`, and
    shapes are drawn until it is reached; one that would exceed the largest share is drawn anew, smaller.

    Args:
        missing: (smallest, largest) share of the picture's pixels, each above 0 and below 1.
        boxes: the chance that a shape is a box.
    """

    missing: tuple[float, float]
    boxes: float

    def __post_init__(self) -> None:
        super().__post_init__()
        pair = list(self.missing) if isinstance(self.missing, list | tuple) else []
        if len(pair) != 2 or pair != sorted(pair):
            raise ValueError(f"task.mask.missing={self.missing}: give the smallest and the largest share: [0.1,0.5]")
        for share in pair:
            number("task.mask.missing", share, 0, 1, above=True, below=True)
        number("task.mask.boxes", self.boxes, 0, 1)

    def draw(self, picture: Images, seed: int) -> Tensor:
        height, width = picture.pixels.shape[-2:]
        generator, area = generator_of(seed, "mask"), height * width
        low, high = self.missing
        goal = max(1, math.floor(area * (low + (high - low) * torch.rand(1, generator=generator).item())))
        most = max(goal, math.floor(area * high))
        canvas, covered, scale = Image.new("1", (width, height)), 0, 1.0
        while covered < goal:
            draws = torch.rand(5 + 3 * VERTICES, generator=generator).tolist()
            larger = canvas.copy()
            (_box if draws[0] < self.boxes else _stroke)(ImageDraw.Draw(larger), (width, height), draws[1:], scale)
            count = larger.convert("L").histogram()[255]
            if count > most:
                scale *= 0.7
            else:
                canvas, covered = larger, count
        hole = torch.frombuffer(bytearray(canvas.convert("L").tobytes()), dtype=torch.uint8)
        return (hole == 0).reshape(1, 1, height, width)


def _box(pen: ImageDraw.ImageDraw, size: tuple[int, int], draws: list[float], scale: float) -> None:
    """A box whose sides are up to two thirds of the picture's."""
    corners = []
    for side, place, share in zip(size, draws[:2], draws[2:4], strict=True):
        length = max(1, round(scale * side * (0.1 + 0.57 * share)))
        start = math.floor(place * (side - length + 1))
        corners.append((start, start + length - 1))
    (left, right), (top, bottom) = corners
    pen.rectangle((left, top, right, bottom), fill=1)


def _stroke(pen: ImageDraw.ImageDraw, size: tuple[int, int], draws: list[float], scale: float) -> None:
    """A brush led along a line that turns a little at each of up to `VERTICES` corners."""
    shorter = scale * min(size)
    x, y, angle = draws[0] * size[0], draws[1] * size[1], 2 * math.pi * draws[2]
    brush = max(1, round(shorter * (0.04 + 0.12 * draws[3])))
    for turn, length, goes_on in zip(*([iter(draws[4:])] * 3), strict=True):
        angle += math.pi * (turn - 0.5)
        to_x, to_y = x + shorter * 0.3 * length * math.cos(angle), y + shorter * 0.3 * length * math.sin(angle)
        pen.line((x, y, to_x, to_y), fill=1, width=brush)
        pen.ellipse((to_x - brush / 2, to_y - brush / 2, to_x + brush / 2, to_y + brush / 2), fill=1)
        x, y = to_x, to_y
        if goes_on < 0.15:
            break
