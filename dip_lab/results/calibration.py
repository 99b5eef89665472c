"""Whether the standard deviations that are stated for an answer are those of its errors."""

import math
from collections.abc import Iterator
from statistics import fmean

import torch
from torch import Tensor

from dip_lab.scores import Score

GAUSSIAN = {k: 100 * math.erf(k / math.sqrt(2)) for k in (1, 2, 3)}  # 68.3, 95.4, 99.7 % within k deviations
CALIBRATION = (
    *(Score(f"within_{k}_std", f"within {k} std", "%", 1, note=f"Gaussian: {share:.1f}")
      for k, share in GAUSSIAN.items()),
    Score("error_to_std", "error / std", decimals=2, terminal=False, note="root mean squares, above 1: too sure"),
    Score("error_std_rank", "error with std", decimals=2, terminal=False, note="rank correlation, 1: std orders them"),
)


@torch.no_grad()
def calibration(image: Tensor, target: Tensor, deviation: Tensor) -> dict[str, float]:
    """The scores of `CALIBRATION`, over all values of a picture; the means over the frames of a clip.

    Args:
        image: the answer, (N, C, H, W) in [0, 1].
        target: the ground truth, of this shape.
        deviation: the standard deviation that is stated for each value.

    Returns:
        `within_k_std`: per cent of the values whose error is at most k standard deviations; `error_to_std`: root mean
        square of the errors over that of the standard deviations; `error_std_rank`: Spearman's rank correlation of the
        sizes of the errors with the standard deviations, in [-1, 1].
    """
    rows = [dict(_of_a_frame((image[t] - target[t]).abs().flatten(), deviation[t].flatten()))
            for t in range(len(image))]
    return {key: fmean(row[key] for row in rows) for key in rows[0]}


def _of_a_frame(error: Tensor, deviation: Tensor) -> Iterator[tuple[str, float]]:
    for k in GAUSSIAN:
        yield f"within_{k}_std", 100 * float((error <= k * deviation).float().mean())
    yield "error_to_std", float((error.square().mean() / deviation.square().mean()).sqrt())
    yield "error_std_rank", float(torch.corrcoef(torch.stack([_ranks(error), _ranks(deviation)]))[0, 1])


def _ranks(values: Tensor) -> Tensor:
    """0 for the smallest, float64; equal values share the mean of their ranks."""
    _, group, sizes = values.unique(return_inverse=True, return_counts=True)
    return (sizes.cumsum(0) - (sizes + 1) / 2).double()[group]
