"""Fusion: one image that keeps the best of several registered sources of one scene.

Lightness is fused and colour is kept. Luma is the full-range Y of YCbCr, Y = 0.299 R + 0.587 G + 0.114 B, chroma is
Cb = (B - Y) / 1.772 and Cr = (R - Y) / 1.402, 0 where there is no colour; https://www.w3.org/Graphics/JPEG/jfif3.pdf
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dip_lab.checks import number
from dip_lab.data.images import Images
from dip_lab.tasks import fusion_metrics
from dip_lab.tasks.evaluation import Evaluation
from dip_lab.tasks.operators import Local, Operator
from dip_lab.tasks.views import View

# A variance below this counts as flat. A standard deviation of a thousandth is less than one step of 8 bits; rounding
# errors of a variance in float32 are smaller still, so they do not decide which source of a flat area weighs more.
FLAT = 1e-6
SSIM_SIGMA, C1, C2 = 1.5, 0.01**2, 0.03**2  # Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861


def full_luma(pixels: Tensor) -> Tensor:
    """Y from 0 to 1, (N, 1, H, W), of (N, 3, H, W); a grey picture is its own luma."""
    if pixels.shape[1] == 1:
        return pixels
    red, green, blue = pixels.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def chroma(pixels: Tensor) -> Tensor:
    """Cb and Cr in [-1/2, 1/2], (N, 2, H, W), of (N, 3, H, W)."""
    light = full_luma(pixels)
    return torch.cat(((pixels[:, 2:3] - light) / 1.772, (pixels[:, 0:1] - light) / 1.402), 1)


def coloured(light: Tensor, colour: Tensor) -> Tensor:
    """RGB (N, 3, H, W) in [0, 1] of luma (N, 1, H, W) and chroma; what lies outside is cut off."""
    blue, red = light + 1.772 * colour[:, 0:1], light + 1.402 * colour[:, 1:2]
    green = (light - 0.299 * red - 0.114 * blue) / 0.587
    return torch.cat((red, green, blue), 1).clamp(0, 1)


def blended(colours: Tensor) -> Tensor:
    """One chroma (1, 2, H, W) from those of the sources (S, 2, H, W): each weighs as much as it differs from grey.

    The rule of DeepFuse, https://arxiv.org/abs/1712.07384: sum |c| c / sum |c|, for Cb and Cr separately. A grey
    source contributes nothing, so a colour picture fused with a grey one keeps its colours.
    """
    strength = colours.abs()
    return (strength * colours).sum(0, keepdim=True) / strength.sum(0, keepdim=True).clamp_min(1e-12)


class Sources(Local, Operator):
    """A(x) = x: every source shows the whole scene. The image is the fused luma, (1, 1, H, W).

    The observation is the luma of all sources, (1, S, H, W).

    Raises:
        ValueError: (in `prepare`) the task is not given, or there is only one source.
    """

    broadcasts = True
    task, baseline = "fusion", "laplacian"

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Refuse what is not a fusion: sources cannot be made from a target."""
        if not given:
            raise ValueError("task=fusion has no target: leave task.given=true and task.observation=null")
        if len(images.pixels) < 2:
            raise ValueError("task=fusion needs two or more sources: give data=sources data.paths=[a.png,b.png]")

    def given(self, pixels: Tensor) -> Tensor:
        """(S, C, H, W) -> (1, S, H, W)."""
        return full_luma(pixels).transpose(0, 1).contiguous()

    def forward(self, image: Tensor) -> Tensor:
        """The image; it stands for the luma of each source."""
        return image

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """One channel of the sources' size."""
        return 1, *observation_shape[1:]


class Fused(View):
    """The mean of the sources, and an image with the sources' colour put back, unless all are grey."""

    def __init__(self):
        super().__init__()
        self.register_buffer("colour", None, persistent=False)

    def prepare(self, images: Images) -> None:
        """Keep the colour of the sources."""
        self.colour = blended(chroma(images.pixels)) if images.pixels.shape[1] == 3 else None

    def observed(self, observation: Tensor, operator: Operator) -> Tensor:
        """The mean of the sources."""
        return observation.mean(1, keepdim=True)

    def guide(self, observation: Tensor, operator: Operator) -> Tensor:
        """All sources."""
        return observation

    def shown(self, image: Tensor) -> Tensor:
        """The luma with the sources' colour, (1, 3, H, W); as it is where all sources are grey."""
        return image if self.colour is None else coloured(image, self.colour)

    def window(self, rows: slice, columns: slice) -> "Fused":
        """The same window of the colour."""
        part = Fused()
        part.colour = None if self.colour is None else self.colour[..., rows, columns]
        return part


def sobel(pixels: Tensor) -> Tensor:
    """Slopes (N, 2 C, H - 2, W - 2) of (N, C, H, W), all those along a row first: Sobel's kernels, not normalised.

    >>> import torch
    >>> sobel(torch.arange(3.0).expand(1, 1, 3, 3)).flatten()
    tensor([8., 0.])
    """
    down = pixels[..., :-2, :] + 2 * pixels[..., 1:-1, :] + pixels[..., 2:, :]
    along = pixels[..., :-2] + 2 * pixels[..., 1:-1] + pixels[..., 2:]
    return torch.cat((down[..., 2:] - down[..., :-2], along[..., 2:, :] - along[..., :-2, :]), 1)


def gaussian(size: int, sigma: float, like: Tensor) -> Tensor:
    """The (size, size) matrix that smooths one axis, cut off at 3.5 sigma and at the picture's edge; rows sum to 1.

    Two matrix products are faster than separable convolutions of so few channels, and deterministic on a GPU.
    """
    distance = torch.arange(size)[:, None] - torch.arange(size)
    weights = torch.exp(-(distance**2) / (2 * max(sigma, 1e-3) ** 2)) * (distance.abs() <= int(3.5 * sigma + 0.5))
    return (weights / weights.sum(1, keepdim=True)).to(like)


def smoothed(pixels: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W), convolved with a Gaussian of standard deviation `sigma` px; 0 leaves it as it is."""
    height, width = pixels.shape[-2:]
    return gaussian(height, sigma, pixels) @ pixels @ gaussian(width, sigma, pixels).T


def only_largest(values: Tensor) -> Tensor:
    """1 for the source with the largest value at a pixel and 0 for the others; equal ones share the 1.

    Values must be at least 0. Those that differ only by rounding (less than a hundred-thousandth) count as equal.
    """
    largest = (values >= (1 - 1e-5) * values.amax(1, keepdim=True)).to(values)
    return largest / largest.sum(1, keepdim=True)


@dataclass(frozen=True)
class Equal:
    """Every source weighs the same."""

    def __call__(self, sources: Tensor) -> Tensor:
        """(N, S, H, W) -> weights of each source at each pixel, (N, S, H, W), whose sum over the sources is 1."""
        return torch.full_like(sources, 1 / sources.shape[1])


@dataclass(frozen=True)
class Brightest:
    """Only the brightest source: what is warm in infrared, bone in CT."""

    def __call__(self, sources: Tensor) -> Tensor:
        """Weights, as in `Equal`."""
        return only_largest(sources)


@dataclass(frozen=True)
class Steepest:
    """Only the source with the largest slopes, whose magnitude is smoothed by a Gaussian of `sigma` px."""

    sigma: float

    def __post_init__(self) -> None:
        number("task.misfit.*_from.sigma", self.sigma, 0)

    def __call__(self, sources: Tensor) -> Tensor:
        """Weights, as in `Equal`."""
        slopes = sobel(F.pad(sources, (1, 1, 1, 1), mode="replicate"))
        return only_largest(smoothed(torch.hypot(*slopes.chunk(2, dim=1)), self.sigma))


@dataclass(frozen=True)
class Contrasted:
    """Each source in proportion to a power of its standard deviation in a Gaussian window of `sigma` px.

    Where all sources are flat, they weigh the same.
    """

    sigma: float
    power: float

    def __post_init__(self) -> None:
        number("task.misfit.*_from.sigma", self.sigma, 0, above=True)
        number("task.misfit.*_from.power", self.power, 0)

    def __call__(self, sources: Tensor) -> Tensor:
        """Weights, as in `Equal`."""
        variance = smoothed(sources.square(), self.sigma) - smoothed(sources, self.sigma).square()
        strength = variance.clamp_min(FLAT) ** (self.power / 2)
        return strength / strength.sum(1, keepdim=True)


@dataclass(frozen=True)
class WellExposed:
    """The nearer a source, smoothed by a Gaussian of `sigma` px, is to middle grey, the more it weighs.

    exp(-(y - 1/2)^2 / (2 spread^2)) of Mertens, Kautz and Van Reeth, https://doi.org/10.1111/j.1467-8659.2008.01171.x
    """

    spread: float
    sigma: float

    def __post_init__(self) -> None:
        number("task.misfit.*_from.spread", self.spread, 0, above=True)
        number("task.misfit.*_from.sigma", self.sigma, 0)

    def __call__(self, sources: Tensor) -> Tensor:
        """Weights, as in `Equal`."""
        distance = smoothed(sources, self.sigma) - 0.5
        return torch.softmax(-distance.square() / (2 * self.spread**2), 1)


@dataclass
class Goal:
    """The parts of the misfit that depend only on the observation."""

    observation: Tensor
    level: Tensor  # (N, 1, H, W)
    slopes: Tensor  # (N, 2, H - 2, W - 2)
    share: Tensor  # of each source in the structure, (N, S, H, W)
    mean: Tensor  # local, of each source
    variance: Tensor
    rows: Tensor  # the matrices of the local mean
    columns: Tensor

    def local_mean(self, pixels: Tensor) -> Tensor:
        """Smoothed by the Gaussian of SSIM."""
        return self.rows @ pixels @ self.columns.T


class FusionMisfit(nn.Module):
    """intensity * mean |x - level| + gradient * mean |sobel(x) - slopes| + structure * mean (1 - SSIM(x, source)).

    Each of the three rules `*_from` gives every source a weight at each pixel: the level and the slopes are weighted
    sums over the sources, and the mean of the structure counts each source by its weight.

    Raises:
        ValueError: a weight is negative; (in the call) values were held out.
    """

    def __init__(self, intensity: float, gradient: float, structure: float,
                 intensity_from: Callable[[Tensor], Tensor], gradient_from: Callable[[Tensor], Tensor],
                 structure_from: Callable[[Tensor], Tensor]):
        super().__init__()
        self.intensity = number("task.misfit.intensity", intensity, 0)
        self.gradient = number("task.misfit.gradient", gradient, 0)
        self.structure = number("task.misfit.structure", structure, 0)
        self.intensity_from, self.gradient_from = intensity_from, gradient_from
        self.structure_from = structure_from
        self._goal: Goal | None = None

    def forward(self, prediction: Tensor, observation: Tensor, counted: Tensor | None) -> Tensor:
        """0-d float32 of an image (N, 1, H, W) and its sources (N, S, H, W)."""
        if counted is not None:
            raise ValueError("task=fusion has nothing that can be held out: choose stopping=fixed")
        with torch.autocast(observation.device.type, enabled=False):
            goal, image = self._goal_of(observation), prediction.float()
            loss = self.intensity * (image - goal.level).abs().mean()
            if self.gradient:
                # the sum of the two directions, as published
                loss = loss + 2 * self.gradient * (sobel(image) - goal.slopes).abs().mean()
            if self.structure:
                loss = loss + self.structure * self._unlikeness(image, goal)
        return loss

    def _unlikeness(self, image: Tensor, goal: Goal) -> Tensor:
        moments = goal.local_mean(torch.cat((image, image.square(), image * goal.observation.float()), 1))
        mean, square, product = moments[:, :1], moments[:, 1:2], moments[:, 2:]
        both = mean * goal.mean
        likeness = (2 * both + C1) / (mean.square() + goal.mean.square() + C1)
        likeness = likeness * (2 * (product - both) + C2) / (square - mean.square() + goal.variance + C2)
        return 1 - (goal.share * likeness).sum(1).mean()

    @torch.no_grad()
    def _goal_of(self, observation: Tensor) -> Goal:
        """Computed once, and again for other sources: the problem gives a new view of the same sources each time."""
        if self._goal is None or _place(self._goal.observation) != _place(observation):
            sources = observation.float()
            height, width = sources.shape[-2:]
            rows, columns = gaussian(height, SSIM_SIGMA, sources), gaussian(width, SSIM_SIGMA, sources)
            chosen = self.gradient_from(sources)[..., 1:-1, 1:-1]
            slopes = [(chosen * each).sum(1, keepdim=True) for each in sobel(sources).chunk(2, dim=1)]
            mean = rows @ sources @ columns.T
            variance = rows @ sources.square() @ columns.T - mean.square()
            self._goal = Goal(observation, (self.intensity_from(sources) * sources).sum(1, keepdim=True),
                              torch.cat(slopes, 1), self.structure_from(sources), mean, variance, rows, columns)
        return self._goal


def _place(tensor: Tensor) -> tuple:
    """Equal for views of the same values; it differs from that of other values as long as one of the views exists."""
    return tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride()


class FusionScores(Evaluation):
    """Figures of the fused luma and of what it took from the sources; a fusion has no target to be scored against.

    `en`, `mi`, `sd`, `sf`, `ag`, `scd`, `qabf`, `ssim_sources`, `vif` as `dip_lab.tasks.fusion_metrics` defines them,
    of 8-bit lumas; `vif` only for pictures of at least 41 x 41 px.
    """

    def final(self, image: Tensor, problem: Any) -> dict[str, float]:
        """The figures of a fused luma (1, 1, H, W), or of one with its colour."""
        fused, sources = (pixels.detach().cpu().double().clamp(0, 1).mul(255).round()[0]
                          for pixels in (full_luma(image), problem.observation))
        return fusion_metrics.all_of(fused[0], sources)
