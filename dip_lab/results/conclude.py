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
from dip_lab.runs import chosen_options, config_hash
from dip_lab.speed import autocast_dtype, peak_memory_mb


@torch.no_grad()
def conclude(cfg: DictConfig, choices: Mapping[str, str], module: DeepImagePrior, stopping, guard, checkpoint,
             history: History, device: torch.device, interrupted: str | None) -> Restoration:
    """Take the rule's answer and score it. The peak is reported beside the answer and chooses nothing."""
    seconds, iterations = checkpoint.fitted_seconds, checkpoint.iteration
    module.cpu()  # as Lightning does after a fit on a GPU
    problem, rule = module.problem, stopping.rule
    image, chosen = stopping.answer(module)
    image = image.cpu()
    scores = problem.scores(image)
    curve = "psnr" if module.average.image is None else "psnr_average"
    rules = {choices["stopping"]: rule, **stopping.shadow}
    psnrs = {name: _psnr(problem, watcher.kept) for name, watcher in rules.items()}
    psnrs[choices["stopping"]] = scores.get("psnr")
    peaks = [history.peak(curve), (scores.get("psnr"), chosen or iterations)]
    peaks += [(psnrs[name], watcher.chosen_iteration) for name, watcher in stopping.shadow.items()]
    peak = max((p for p in peaks if p and p[0] is not None), key=lambda p: p[0], default=None)
    stop_reason = guard.reason or stopping.reason or "iterations used up"
    if interrupted:
        stop_reason = f"interrupted by {interrupted}"
    summary: dict[str, Any] = {
        **chosen_options(cfg, choices),
        "noise": choices["task/noise"],
        "picture": problem.name,
        "observation": problem.digest(),
        "seed": cfg.seed,
        "status": "interrupted" if interrupted else "done",
        "error": None,
        "iterations": iterations,
        "chosen_iteration": chosen or iterations,
        "stop_reason": stop_reason,
        "oracle": rule.uses_target,
        **{key: scores.get(key) for key in ("psnr", "ssim", "psnr_y", "psnr_hole")},
        "psnr_output": _psnr(problem, rule.kept_output if chosen else None),
        "psnr_average": _psnr(problem, rule.kept_average if chosen else None),
        "psnr_last": history.rows[-1][curve] if history.rows else None,
        "psnr_peak": peak[0] if peak else None,
        "peak_iteration": peak[1] if peak else None,
        "psnr_observed": _psnr(problem, problem.baseline()),
        "guard_events": guard.events,
        "seconds": round(seconds, 3),
        "seconds_per_iteration": round(seconds / max(iterations, 1), 5),
        "peak_memory_mb": round(peak_memory_mb(device), 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type,
        "precision": "float32" if autocast_dtype(cfg.precision, device.type) is None else "bf16",
        "parameters": sum(parameter.numel() for parameter in module.generator.net.parameters()),
        "config_hash": config_hash(cfg),
        "versions": {"python": platform.python_version(),
                     **{name: version(name) for name in ("torch", "pytorch-lightning", "hydra-core", "numpy")}},
    }
    pictures = {} if problem.target is None else {"target": problem.target}
    pictures |= {"observed": problem.baseline(), "latent": _latent_picture(module.generator)}
    deviation = getattr(module.average, "deviation", None)
    if deviation is not None:
        deviation = deviation.cpu()
        pictures["uncertainty"] = deviation
        summary |= uncertainty(deviation)
    rows = verdicts(rules, psnrs, cfg.iterations, peak[0] if peak else None) if chosen else []
    return Restoration(image, summary, history, pictures, problem.answer, rows)


def mean_of_seeds(members: Sequence[Restoration], problem: Problem, config_hash: str) -> Restoration:
    """The mean of fits that differ in their seed, and how much they differ; the curves are those of the first."""
    first = members[0]
    images = torch.cat([member.image for member in members])
    image = images.mean(0, keepdim=True)
    scores = problem.scores(image)
    keys = ("seed", "psnr", "chosen_iteration", "iterations", "seconds", "status")
    summary = {
        **first.summary,
        **{key: scores.get(key) for key in ("psnr", "ssim", "psnr_y", "psnr_hole")},
        "members": [{key: member.summary[key] for key in keys} for member in members],
        "status": members[-1].summary["status"],
        "stop_reason": members[-1].summary["stop_reason"],
        "seconds": round(sum(member.summary["seconds"] for member in members), 3),
        "config_hash": config_hash,
    }
    if "psnr" in scores:
        summary["psnr_peak"] = max(scores["psnr"], first.summary["psnr_peak"])
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


def _psnr(problem, image: Tensor | None) -> float | None:
    return None if image is None else problem.scores(image.cpu()).get("psnr")


def _latent_picture(generator: Generator) -> Tensor:
    """The first channel of z, stretched to [0, 1]."""
    z = generator.latent.z[:, :1].float().cpu()
    return (z - z.min()) / (z.max() - z.min()).clamp_min(1e-12)
