"""Turns what was restored into a restoration with its summary."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from dip_lab.machine import peak_memory_mb
from dip_lab.problem import Problem
from dip_lab.results.calibration import CALIBRATION, calibration
from dip_lab.results.history import COLUMNS, History
from dip_lab.results.restoration import Restoration
from dip_lab.results.summary import Summary
from dip_lab.runs.identity import Cell


@torch.no_grad()
def conclude_baseline(problem: Problem, cell: Cell, image: Tensor, seconds: float,
                      restorer: Mapping[str, Any] | None = None) -> Restoration:
    """The restoration of a method that fits nothing; there are no curves. `restorer`: what a trained one is."""
    image, unsound = finite(image)
    summary = Summary(
        **about(problem, cell), status="failed" if unsound else "done", error=unsound,
        stop_reason="no iterations: a baseline", **scored(problem, image),
        seconds=round(seconds, 3), peak_memory_mb=round(peak_memory_mb("cpu"), 1),
        device=platform.processor() or "cpu", versions=versions(), restorer=restorer,
    )
    return Restoration(image, summary, History(COLUMNS, None), problem.pictures(), [])


def finite(image: Tensor) -> tuple[Tensor, str | None]:
    """(the image, None); of one with NaN or infinity, (black in their place, what is wrong)."""
    wrong = int((~image.isfinite()).sum())
    if not wrong:
        return image, None
    return image.nan_to_num(0, 0, 0), f"{wrong} of {image.numel()} values of the answer are not finite"


def about(problem: Problem, cell: Cell) -> dict[str, Any]:
    """The part of a summary that is known before anything is restored."""
    noise = problem.noise_estimate
    return {"cell": cell, "picture": problem.name, "observation": problem.digest(), "answer": problem.answer,
            "jpeg_quality": problem.jpeg_quality,
            "noise_estimate": None if noise is None else noise.as_dict(),
            "psnr_observed": problem_scores(problem, problem.observed()).get("psnr")}


def scored(problem: Problem, image: Tensor, deviation: Tensor | None = None) -> dict[str, Any]:
    """The part of a summary that scores the answer.

    Args:
        deviation: the standard deviation of each value of the image, where the method has one. It is compared with the
            errors where the target has its shape: not where what is shown is another form of what was restored.
    """
    scores, pixels = {**problem_scores(problem, image), **problem.final_scores(image)}, None
    if deviation is not None:
        pixels = deviation.mean(1)  # over the channels
        if problem.target is not None and problem.target.shape == deviation.shape:
            scores |= calibration(problem.shown(image), problem.target.cpu(), deviation)
    return {"scores": scores, "own": (*problem.evaluation.described, *CALIBRATION),
            "uncertainty_mean": None if pixels is None else float(pixels.mean()),
            "uncertainty_max": None if pixels is None else float(pixels.max())}


def problem_scores(problem: Problem, image: Tensor | None) -> dict[str, float]:
    """The scores of an image against the target; empty where there is no image or no target."""
    return {} if image is None else problem.scores(image.cpu())


def versions() -> dict[str, str]:
    return {"python": platform.python_version(),
            **{name: version(name) for name in ("torch", "pytorch-lightning", "hydra-core", "numpy")}}
