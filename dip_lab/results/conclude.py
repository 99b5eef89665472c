"""Turns what was restored into a restoration with its summary."""

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dip_lab.machine import peak_memory_mb
from dip_lab.precision import autocast_dtype
from dip_lab.problem import Problem
from dip_lab.results.history import COLUMNS, History
from dip_lab.results.restoration import Restoration
from dip_lab.results.summary import Summary
from dip_lab.results.verdicts import verdicts
from dip_lab.runs.identity import Cell

if TYPE_CHECKING:
    from dip_lab.fit import Fit


@torch.no_grad()
def conclude(fit: "Fit", device: torch.device, interrupted: str | None) -> Restoration:
    """Take the rule's answer and score it. The peak is only reported, it does not choose anything."""
    module, stopping, guard, history = fit.module, fit.stopping, fit.guard, fit.history
    seconds, iterations = fit.checkpoint.fitted_seconds, fit.checkpoint.iteration
    module.cpu()  # as Lightning does after a fit on a GPU
    problem, rule = module.problem, stopping.rule
    image, chosen = stopping.answer(module)
    image = image.cpu()
    scores = scored(problem, image)
    curve = "psnr" if module.average.image is None else "psnr_average"
    obeyed = fit.cell.options["stopping"]
    rules = {obeyed: rule, **stopping.shadow}
    psnrs = {name: problem_scores(problem, watcher.kept).get("psnr") for name, watcher in rules.items()}
    psnrs[obeyed] = scores["scores"].get("psnr")
    peaks = [history.peak(curve), (psnrs[obeyed], chosen or iterations)]
    peaks += [(psnrs[name], watcher.chosen_iteration) for name, watcher in stopping.shadow.items()]
    peak = max((p for p in peaks if p and p[0] is not None), key=lambda p: p[0], default=(None, None))
    stop_reason = guard.reason or stopping.reason or "iterations used up"
    if interrupted:
        stop_reason = f"interrupted by {interrupted}"
    pictures = {**problem.pictures(), "latent": _latent_picture(module.generator.latent.z)}
    spread = {}
    if (deviation := getattr(module.average, "deviation", None)) is not None:
        pictures["uncertainty"] = deviation.cpu()
        spread = uncertainty(pictures["uncertainty"])
    summary = Summary(
        **about(problem, fit.cell),
        status="interrupted" if interrupted else "failed" if guard.diverged else "done",
        error=stop_reason if guard.diverged else None,
        iterations=iterations,
        chosen_iteration=chosen or iterations,
        stop_reason=stop_reason,
        oracle=rule.uses_target,
        **scores,
        output=problem_scores(problem, rule.kept_output if chosen else None),
        average=problem_scores(problem, rule.kept_average if chosen else None),
        psnr_held_out=rule.psnr_held_out,
        psnr_last=history.rows[-1][curve] if history.rows else None,
        psnr_peak=peak[0],
        peak_iteration=peak[1],
        guard_events=guard.events,
        seconds=round(seconds, 3),
        seconds_per_iteration=round(seconds / max(iterations, 1), 5),
        peak_memory_mb=round(peak_memory_mb(device), 1),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type,
        precision="float32" if autocast_dtype(module.generator.precision, device.type) is None else "bf16",
        parameters=sum(parameter.numel() for parameter in module.generator.net.parameters()),
        **spread,
        versions=_versions(),
    )
    rows = verdicts(rules, psnrs, fit.iterations, peak[0]) if chosen else []
    return Restoration(image, summary, history, pictures, rows)


@torch.no_grad()
def conclude_baseline(problem: Problem, cell: Cell, image: Tensor, seconds: float) -> Restoration:
    """The restoration of a method without a network; there are no curves."""
    summary = Summary(
        **about(problem, cell), stop_reason="no iterations: a baseline", **scored(problem, image),
        seconds=round(seconds, 3), device=platform.processor() or "cpu", versions=_versions(),
    )
    return Restoration(image, summary, History(COLUMNS, None), problem.pictures(), [])


def about(problem: Problem, cell: Cell) -> dict[str, Any]:
    """The part of a summary that is known before anything is restored."""
    return {"cell": cell, "picture": problem.name, "observation": problem.digest(), "answer": problem.answer,
            "psnr_observed": problem_scores(problem, problem.observed()).get("psnr")}


def scored(problem: Problem, image: Tensor) -> dict[str, Any]:
    """The part of a summary that scores the answer."""
    return {"scores": {**problem_scores(problem, image), **problem.final_scores(image)},
            "own": problem.evaluation.described}


def problem_scores(problem: Problem, image: Tensor | None) -> dict[str, float]:
    """The scores of an image against the target; empty where there is no image or no target."""
    return {} if image is None else problem.scores(image.cpu())


def uncertainty(deviation: Tensor) -> dict[str, float]:
    """Mean and largest of the pixels' standard deviations, each the mean over its channels, for the summary."""
    pixels = deviation.mean(1)
    return {"uncertainty_mean": float(pixels.mean()), "uncertainty_max": float(pixels.max())}


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(),
            **{name: version(name) for name in ("torch", "pytorch-lightning", "hydra-core", "numpy")}}


def _latent_picture(z: Tensor) -> Tensor:
    """The first channel of a latent, stretched to [0, 1]."""
    z = z[:, :1].float().cpu()
    return (z - z.min()) / (z.max() - z.min()).clamp_min(1e-12)
