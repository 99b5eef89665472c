"""Figures of a fused picture, without a reference: pure functions of 8-bit levels.

`fused` is (H, W) and `sources` is (S, H, W), both float64 of whole numbers from 0 to 255. Definitions are those of the
review of Ma, Ma and Li, https://doi.org/10.1016/j.inffus.2018.02.004, except where a docstring says otherwise.
"""

import itertools

import torch
from torch import Tensor

from dip_lab.metrics import ssim

LEVELS = 256
VIF_SIDE = 41  # px: the smallest side for which four scales of 17 x 17 px windows remain


def all_of(fused: Tensor, sources: Tensor) -> dict[str, float]:
    """All figures of this module by their usual abbreviations; no `vif` where the picture is too small for it."""
    figures = {
        "en": entropy(fused),
        "mi": mutual_information(fused, sources),
        "sd": standard_deviation(fused),
        "sf": spatial_frequency(fused),
        "ag": average_gradient(fused),
        "scd": correlations_of_differences(fused, sources),
        "qabf": edges_kept(fused, sources),
        "ssim_sources": likeness(fused, sources),
    }
    if min(fused.shape) >= VIF_SIDE:
        figures["vif"] = visual_fidelity(fused, sources)
    return {name: float(figure) for name, figure in figures.items()}


def entropy(fused: Tensor) -> Tensor:
    """EN: bits per pixel of the histogram of 256 levels; 0 for a constant."""
    return _bits(torch.bincount(fused.long().flatten(), minlength=LEVELS))


def mutual_information(fused: Tensor, sources: Tensor) -> Tensor:
    """MI: bits that the fused picture tells about each source, summed; EN for each source if all are equal."""
    figures = []
    for source in sources:
        both = torch.bincount((LEVELS * source + fused).long().flatten(), minlength=LEVELS**2)
        figures.append(entropy(source) + entropy(fused) - _bits(both))
    return torch.stack(figures).sum()


def standard_deviation(fused: Tensor) -> Tensor:
    """SD: the standard deviation of the population, in 8-bit units."""
    return fused.std(correction=0)


def spatial_frequency(fused: Tensor) -> Tensor:
    """SF: sqrt(RF^2 + CF^2), the root mean squares of the first differences along rows and along columns."""
    return (fused.diff(dim=1).square().mean() + fused.diff(dim=0).square().mean()).sqrt()


def average_gradient(fused: Tensor) -> Tensor:
    """AG: the mean of sqrt((gx^2 + gy^2) / 2), forward differences, over the pixels that have both."""
    along, down = fused.diff(dim=1)[:-1], fused.diff(dim=0)[:, :-1]
    return ((along.square() + down.square()) / 2).sqrt().mean()


def correlations_of_differences(fused: Tensor, sources: Tensor) -> Tensor:
    """SCD: corr(F - B, A) + corr(F - A, B), the mean over all pairs (A, B) of sources; 2 where F = A + B.

    Aslantas and Bendes, https://doi.org/10.1016/j.aeue.2015.09.004. The correlation with a constant counts as 0.
    """
    pairs = [_correlation(fused - b, a) + _correlation(fused - a, b) for a, b in itertools.combinations(sources, 2)]
    return torch.stack(pairs).mean()


def edges_kept(fused: Tensor, sources: Tensor) -> Tensor:
    """Qabf of Xydeas and Petrovic, https://doi.org/10.1049/el:20000267: strength and direction of the sources' edges.

    Sobel slopes inside a border of 1 px. Each source is weighted by the strength of its edge. Edges of equal strength
    have the ratio 1 (in a public MATLAB code, the strength itself), and so have two flat places. Flat sources have no
    edge to keep, which gives 0. The largest value, reached where all are equal, is 0.9748.
    """
    strength, direction = _edges(fused)
    kept, total = [], []
    for source in sources:
        weight, angle = _edges(source)
        largest = torch.maximum(weight, strength)
        ratio = torch.where(largest > 0, torch.minimum(weight, strength) / largest, 1.0)
        agreement = ((angle - direction).abs() - torch.pi / 2).abs() / (torch.pi / 2)  # angles wrap at pi
        quality = 0.9994 / (1 + torch.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + torch.exp(-22 * (agreement - 0.8)))
        kept.append((quality * weight).sum())
        total.append(weight.sum())
    edges = torch.stack(total).sum()
    return torch.where(edges > 0, torch.stack(kept).sum() / edges, 0.0)


def likeness(fused: Tensor, sources: Tensor) -> Tensor:
    """SSIM to the sources: the mean over them, range 1, Gaussian window 11 x 11 of 1.5 px; see dip_lab.metrics."""
    image = fused[None, None] / 255
    return torch.stack([ssim(image, source[None, None] / 255) for source in sources]).mean()


def visual_fidelity(fused: Tensor, sources: Tensor) -> Tensor:
    """VIF of the fused picture with each source as its reference, summed; 1 for each source if all are equal.

    In the pixel domain, Sheikh and Bovik, https://doi.org/10.1109/TIP.2005.859378. A constant source shows nothing,
    which gives 0.
    """
    from torchmetrics.functional.image import visual_information_fidelity  # 2 s to import

    figures = [visual_information_fidelity(fused[None, None], source[None, None]) for source in sources]
    return torch.stack(figures).nan_to_num(0.0).sum()


def _bits(counts: Tensor) -> Tensor:
    shares = counts[counts > 0] / counts.sum()
    return -(shares * shares.log2()).sum() + 0.0  # not -0


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = a - a.mean(), b - b.mean()
    norm = (a.square().sum() * b.square().sum()).sqrt()
    return torch.where(norm > 0, (a * b).sum() / norm, 0.0)


def _edges(image: Tensor) -> tuple[Tensor, Tensor]:
    """Strength of Sobel's slopes, and their direction atan(gy / gx) in (-pi / 2, pi / 2], pi / 2 where gx is 0."""
    down = image[:-2] + 2 * image[1:-1] + image[2:]
    along = image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]
    gx, gy = down[:, 2:] - down[:, :-2], along[2:] - along[:-2]
    direction = torch.where(gx == 0, torch.pi / 2, torch.atan(gy / torch.where(gx == 0, 1.0, gx)))
    return torch.hypot(gx, gy), direction
