"""Magnetic resonance imaging: the observation is a part of the image's Fourier transform, the k-space."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dip_lab.checks import flag, integer, number, one_of
from dip_lab.data.array import advise_scale, check_sides
from dip_lab.data.images import Images, mean, read_picture
from dip_lab.data.registry import located
from dip_lab.randomness import generator_of
from dip_lab.tasks.masks import check_same_size, cut
from dip_lab.tasks.operators import Operator
from dip_lab.tasks.views import View


class Fourier(Operator):
    """A(x) = known * F x, where F is the orthonormal 2-D Fourier transform with the zero frequency in the middle.

    F is `fftshift(fft2(ifftshift(x), norm="ortho"))`, as in fastMRI, https://arxiv.org/abs/1811.08839; the middle
    of n values is number n // 2. The observation is real, (N, 2C, H, W): the real parts of all channels, then their
    imaginary parts. `known` is (1, 1, H, W), 1 where k-space was sampled.

    Args:
        sampling: (picture, seed) -> bool (1, 1, H, W), see below.
        complex: false: the image is real, (N, C, H, W). True: it is (N, 2C, H, W) and holds (Re + 1) / 2 of a complex
            picture's channels, then (Im + 1) / 2, so that both lie in [0, 1]. A is then affine.

    Raises:
        ValueError: `complex` is not true or false.
    """

    task, baseline = "mri", "zero_filled"

    def __init__(self, sampling: "Sampling", complex: bool):
        super().__init__()
        self.sampling = sampling
        self.complex = flag("task.complex", complex)
        self.known = torch.ones(1, 1, 1, 1)

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Draw or read the mask.

        Raises:
            ValueError: nothing is sampled; the array is too small; k-space that is given has an odd number of channels.
        """
        check_sides(images)
        channels = images.pixels.shape[1]
        if given and channels % 2:
            raise ValueError(f"task.given=true: {images.name} has {channels} channels, but k-space has real and then "
                             "imaginary parts: give data=array data.path=kspace.npy, complex or with an even number")
        known = self.sampling(images, seed)
        if not known.any():
            raise ValueError(f"task.sampling={self.sampling}: no value of k-space is sampled: take another pattern")
        self.known = known.float()

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W), or (N, 2C, H, W) where complex, -> (N, 2C, H, W)."""
        image = image.to(torch.promote_types(image.dtype, torch.float32))
        if not self.complex:
            return self.sample(image)
        if image.shape[1] % 2:
            raise ValueError(f"task.complex=true: an image of {image.shape[1]} channels has no imaginary part")
        return self.sample(torch.complex(*(2 * image - 1).chunk(2, 1)))

    def sample(self, picture: Tensor) -> Tensor:
        """The observation (N, 2C, H, W) of a real or complex picture (N, C, H, W)."""
        shifted = torch.fft.ifftshift(picture, (-2, -1))
        spectrum = torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), (-2, -1))
        return torch.cat((spectrum.real, spectrum.imag), 1) * self.known

    def zero_filled(self, observation: Tensor) -> Tensor:
        """The complex picture (N, C, H, W) of the sampled values, with 0 in place of the others."""
        observation = observation.to(torch.promote_types(observation.dtype, torch.float32)) * self.known
        shifted = torch.fft.ifftshift(torch.complex(*observation.chunk(2, 1)), (-2, -1))
        return torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), (-2, -1))

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The size is the same; a real image has half the channels."""
        channels, height, width = observation_shape
        return channels if self.complex else channels // 2, height, width

    def given(self, pixels: Tensor) -> Tensor:
        """The k-space, with 0 where it is not sampled; a warning in the log if its picture is far from [0, 1]."""
        advise_scale(float(self.zero_filled(pixels).abs().max()))
        return pixels * self.known


class ZeroFilled(View):
    """The zero-filled picture, clamped to [0, 1]: its magnitude; where complex, its two parts as in an image."""

    def __init__(self, complex: bool):
        super().__init__()
        self.complex = complex

    def observed(self, observation: Tensor, operator: Fourier) -> Tensor:
        """At the image's size."""
        picture = operator.zero_filled(observation)
        if self.complex:
            return ((torch.cat((picture.real, picture.imag), 1) + 1) / 2).clamp(0, 1)
        return picture.abs().clamp(0, 1)

    def shown(self, image: Tensor) -> Tensor:
        """The magnitude (N, C, H, W) where complex, else the image."""
        return torch.hypot(*(2 * image - 1).chunk(2, 1)) if self.complex else image


class Scan:
    """Observes a real picture with a smooth phase: y = A(x exp(i phase p)), |p| <= 1.

    p is one period of a cosine across the picture and half a period down, as an uneven field gives; the same for all
    pictures.

    Args:
        phase: its largest angle in radians; 0: the picture stays real.

    Raises:
        ValueError: `phase` is negative; in the call, a phase that a real image cannot have.
    """

    def __init__(self, phase: float):
        self.phase = number("task.phase", phase, 0)

    def __call__(self, target: Tensor, operator: Fourier) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, 2C, H, W) float32, without a graph."""
        if not self.phase:
            return operator.sample(target.detach())
        if not operator.complex:
            raise ValueError(f"task.phase={self.phase:g}: a real image has no phase: add task.complex=true")
        height, width = target.shape[-2:]
        down = torch.cos(math.pi * torch.arange(height, dtype=torch.float64) / height)
        across = torch.cos(2 * math.pi * torch.arange(width, dtype=torch.float64) / width)
        angle = (self.phase * torch.outer(down, across)).to(target)
        return operator.sample(torch.polar(target.detach(), angle.expand_as(target)))


@dataclass(frozen=True)
class Sampling:
    """Which values of k-space are sampled: callable (picture, seed) -> bool (1, 1, H, W), zero frequency at n // 2."""

    def __call__(self, picture: Images, seed: int) -> Tensor:
        """The mask, True = sampled; laws are a function of (size, seed)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cartesian(Sampling):
    """Whole columns: the middle ones, and as many others as make 1 / acceleration of all.

    As in fastMRI, https://arxiv.org/abs/1811.08839, except that the number of columns is exact here.

    Args:
        acceleration: at least 1.
        center_fraction: share of all columns that is sampled around the zero frequency.
        spacing: of the other columns: `random`, or `equispaced`, where the seed decides where they begin.

    Raises:
        ValueError: an argument is out of its range; in the call, more columns in the middle than there may be in all.
    """

    acceleration: float
    center_fraction: float
    spacing: str

    def __post_init__(self) -> None:
        number("task.sampling.acceleration", self.acceleration, 1)
        number("task.sampling.center_fraction", self.center_fraction, 0, 1)
        one_of("task.sampling.spacing", self.spacing, ("random", "equispaced"))

    def __call__(self, picture: Images, seed: int) -> Tensor:
        height, width = picture.pixels.shape[-2:]
        count, middle = max(1, round(width / self.acceleration)), round(width * self.center_fraction)
        if middle > count:
            raise ValueError(f"task.sampling.center_fraction={self.center_fraction:g}: {middle} columns are more than "
                             f"the {count} of {width} that task.sampling.acceleration={self.acceleration:g} allows")
        sampled = torch.zeros(width, dtype=torch.bool)
        first = width // 2 - middle // 2
        sampled[first : first + middle] = True
        others, count = (~sampled).nonzero().flatten(), count - middle
        generator = generator_of(seed, "sampling")
        if self.spacing == "random":
            sampled[others[torch.randperm(len(others), generator=generator)[:count]]] = True
        else:
            offset = torch.rand((), generator=generator, dtype=torch.float64)
            sampled[others[((torch.arange(count) + offset) * len(others) / max(1, count)).long()]] = True
        return sampled.expand(1, 1, height, width).clone()


@dataclass(frozen=True)
class Radial(Sampling):
    """Lines through the zero frequency at equal angles, drawn on the grid; the seed decides where they begin.

    They end at half a cycle per pixel, so that the corners of k-space are not sampled.

    Args:
        spokes: the number of lines.

    Raises:
        ValueError: `spokes` is below 1.
    """

    spokes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "spokes", integer("task.sampling.spokes", self.spokes, 1))

    def __call__(self, picture: Images, seed: int) -> Tensor:
        height, width = picture.pixels.shape[-2:]
        offset = torch.rand((), generator=generator_of(seed, "sampling"), dtype=torch.float64)
        angle = math.pi * (torch.arange(self.spokes) + offset) / self.spokes
        # in cycles per pixel; four points for each value along the longer side
        radius = torch.linspace(-0.5, 0.5, 4 * max(height, width) + 1, dtype=torch.float64)
        rows = (radius * angle.sin()[:, None] * height).round().long() + height // 2
        columns = (radius * angle.cos()[:, None] * width).round().long() + width // 2
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        sampled = torch.zeros(1, 1, height, width, dtype=torch.bool)
        sampled[0, 0, rows[inside], columns[inside]] = True
        return sampled


@dataclass(frozen=True)
class File(Sampling):
    """The picture file at `path`, of the size of k-space: the brighter of its two levels is sampled."""

    path: str

    def __call__(self, picture: Images, seed: int) -> Tensor:
        pixels = read_picture(located(str(self.path), picture.root), keep=mean).pixels
        check_same_size("task.sampling.path", self.path, pixels, picture)
        return cut("task.sampling.path", self.path, pixels, "give a picture of black and white only, white = sampled")


@dataclass(frozen=True)
class Observed(Sampling):
    """What is not 0 in given k-space is sampled."""

    def __call__(self, picture: Images, seed: int) -> Tensor:
        if picture.pixels.min() >= 0:
            raise ValueError(f"task/sampling=observed: {picture.name} is a picture, not k-space: give task.given=true "
                             "data=array data.path=kspace.npy, or another pattern")
        return (picture.pixels != 0).any(1, keepdim=True)
