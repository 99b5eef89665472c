"""From a finished fit to its restoration and summary."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from dip_lab.generator import Generator
from dip_lab.module import DeepImagePrior
from dip_lab.problem import Problem
from dip_lab.results.history import History
from dip_lab.results.restoration import Restoration
from dip_lab.results.verdicts import verdicts
from dip_lab.runs import description, provenance
from dip_lab.speed import autocast_dtype, peak_memory_mb
from dip_lab.tasks.evaluation import SCORES


@torch.no_grad()
def conclude(cfg: DictConfig, choices: Mapping[str, str], module: DeepImagePrior, stopping, guard, checkpoint,
             history: History, device: torch.device, interrupted: str | None) -> Restoration:
    """Take the rule's answer and score it. The peak is reported beside the answer and chooses nothing."""
    seconds, iterations = checkpoint.fitted_seconds, checkpoint.iteration
    module.cpu()  # as Lightning does after a fit on a GPU
    problem, rule = module.problem, stopping.rule
    image, chosen = stopping.answer(module)
    image = image.cpu()
    scores = scores_of(problem, image)
    curve = "psnr" if module.average.image is None else "psnr_average"
    rules = {choices["stopping"]: rule, **stopping.shadow}
    psnrs = {name: _psnr(problem, watcher.kept) for name, watcher in rules.items()}
    psnrs[choices["stopping"]] = scores["psnr"]
    peaks = [history.peak(curve), (scores["psnr"], chosen or iterations)]
    peaks += [(psnrs[name], watcher.chosen_iteration) for name, watcher in stopping.shadow.items()]
    peak = max((p for p in peaks if p and p[0] is not None), key=lambda p: p[0], default=None)
    stop_reason = guard.reason or stopping.reason or "iterations used up"
    if interrupted:
        stop_reason = f"interrupted by {interrupted}"
    summary: dict[str, Any] = {
        **of_the_cell(cfg, choices, problem),
        "status": "interrupted" if interrupted else "failed" if guard.diverged else "done",
        "error": stop_reason if guard.diverged else None,
        "iterations": iterations,
        "chosen_iteration": chosen or iterations,
        "stop_reason": stop_reason,
        "oracle": rule.uses_target,
        **scores,
        **problem.final_scores(image),
        **scores_of(problem, rule.kept_output if chosen else None, "_output"),
        **scores_of(problem, rule.kept_average if chosen else None, "_average"),
        "psnr_held_out": rule.psnr_held_out,
        "psnr_last": history.rows[-1][curve] if history.rows else None,
        "psnr_peak": peak[0] if peak else None,
        "peak_iteration": peak[1] if peak else None,
        "guard_events": guard.events,
        "seconds": round(seconds, 3),
        "seconds_per_iteration": round(seconds / max(iterations, 1), 5),
        "peak_memory_mb": round(peak_memory_mb(device), 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type,
        "precision": "float32" if autocast_dtype(cfg.precision, device.type) is None else "bf16",
        "parameters": sum(parameter.numel() for parameter in module.generator.net.parameters()),
        "versions": _versions(),
        **provenance(cfg, choices),
    }
    pictures = {**problem.pictures(), "latent": _latent_picture(module.generator)}
    deviation = getattr(module.average, "deviation", None)
    if deviation is not None:
        deviation = deviation.cpu()
        pictures["uncertainty"] = deviation
        summary |= uncertainty(deviation)
    rows = verdicts(rules, psnrs, cfg.iterations, peak[0] if peak else None) if chosen else []
    return Restoration(image, summary, history, pictures, problem.answer, rows)


@torch.no_grad()
def conclude_baseline(cfg: DictConfig, choices: Mapping[str, str], problem: Problem, image: Tensor, seconds: float,
                      history: History) -> Restoration:
    """The restoration of a method without a network: the same summary, null where only a fit has a value."""
    summary: dict[str, Any] = {
        **of_the_cell(cfg, choices, problem),
        "status": "done",
        "stop_reason": "no iterations: a baseline",
        "oracle": False,
        **scores_of(problem, image),
        **problem.final_scores(image),
        **scores_of(problem, None, "_output"),
        **scores_of(problem, None, "_average"),
        "seconds": round(seconds, 3),
        "device": platform.processor() or "cpu",
        **dict.fromkeys(("error", "iterations", "chosen_iteration", "psnr_held_out", "psnr_last", "psnr_peak",
                         "peak_iteration", "guard_events", "seconds_per_iteration", "peak_memory_mb", "precision",
                         "parameters")),
        "versions": _versions(),
        **provenance(cfg, choices),
    }
    return Restoration(image, summary, history, problem.pictures(), problem.answer, [])


def of_the_cell(cfg: DictConfig, choices: Mapping[str, str], problem: Problem) -> dict[str, Any]:
    """What is known before anything is restored."""
    return {
        **description(cfg, choices),
        "picture": problem.name,
        "observation": problem.digest(),
        "answer": problem.answer,
        "psnr_observed": _psnr(problem, problem.observed()),
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(),
            **{name: version(name) for name in ("torch", "pytorch-lightning", "hydra-core", "numpy")}}


def mean_of_seeds(members: Sequence[Restoration], problem: Problem, config_hash: str) -> Restoration:
    """The mean of fits that differ in their seed, and how much they differ; the curves are those of the first."""
    first = members[0]
    images = torch.cat([member.image for member in members])
    image = images.mean(0, keepdim=True)
    keys = ("seed", "psnr", "psnr_8bit", "chosen_iteration", "iterations", "seconds", "status")
    summary = {
        **first.summary,
        **scores_of(problem, image),
        **problem.final_scores(image),
        "members": [{key: member.summary[key] for key in keys} for member in members],
        "status": members[-1].summary["status"],
        "stop_reason": members[-1].summary["stop_reason"],
        "seconds": round(sum(member.summary["seconds"] for member in members), 3),
        "config_hash": config_hash,
    }
    if summary["psnr"] is not None:
        summary["psnr_peak"] = max(summary["psnr"], first.summary["psnr_peak"])
    pictures = first.pictures
    if len(members) > 1:
        deviation = images.std(0, keepdim=True)
        pictures = {**pictures, "uncertainty": deviation}
        summary |= uncertainty(deviation)
    return replace(first, image=image, summary=summary, pictures=pictures)


def uncertainty(deviation: Tensor) -> dict[str, float]:
    """Mean and largest of the pixels' standard deviations, each the mean over its channels, for the summary."""
    pixels = deviation.mean(1)
    return {"uncertainty_mean": float(pixels.mean()), "uncertainty_max": float(pixels.max())}


def scores_of(problem: Problem, image: Tensor | None, suffix: str = "") -> dict[str, float | None]:
    """All scores of an image, None where there is no image, no target, or the task has no such score."""
    scores = {} if image is None else problem.scores(image.cpu())
    return {key + suffix: scores.get(key) for key in SCORES}


def _psnr(problem: Problem, image: Tensor | None) -> float | None:
    return scores_of(problem, image)["psnr"]


def _latent_picture(generator: Generator) -> Tensor:
    """The first channel of z, stretched to [0, 1]."""
    z = generator.latent.z[:, :1].float().cpu()
    return (z - z.min()) / (z.max() - z.min()).clamp_min(1e-12)
