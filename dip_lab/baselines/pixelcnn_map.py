"""The most probable picture, given what was observed and a density of clean pictures that was learnt before."""

from collections.abc import Iterator

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.problem import Problem
from dip_lab.training.checkpoint import load_density
from dip_lab.training.density import Density

LEAST_STD = 1 / 255  # of the noise: a picture of 8 bits is not known any better


def maximum_a_posteriori(problem: Problem, checkpoint: str | None, weight: float, iterations: int, lr: float,
                         tile: int, root: str | None) -> Tensor:
    """The image with the least |A(x) - y|^2 / (2 s^2) - weight * log p(x), found by Adam.

    log p is that of a PixelCNN with mixtures of logistics, https://arxiv.org/abs/1701.05517, in which the picture
    is both what is predicted and what is predicted from; its gradient goes both ways. s is the standard deviation
    of the noise where its law is known to have one, else as estimated from the observation.

    Args:
        problem: of any task; the misfit is always the mean square of Gaussian noise.
        checkpoint: the folder of a run of `scripts/train.py objective=likelihood`, or its file. A density of grey
            pictures restores each channel on its own.
        weight: of the logarithm of the density; 1 is Bayes' rule. Its answer is too smooth: a picture without texture
            is far more probable than a natural one (2.8 bits per value against 4.6, docs/pixelcnn.md), so that about
            0.5, and not too many iterations, have a higher PSNR.
        iterations: steps of Adam, at least 1.
        lr: its first step size, in the [0, 1] units of a pixel; it falls to zero along half a cosine.
        tile: px a side of the windows whose gradients are computed one after the other, which bounds the memory and
            does not change the result.
        root: folder of the data sets, where `weights/` is looked for too.

    Returns:
        (1, C, H, W) float32 in [0, 1].

    Raises:
        ValueError: there is no checkpoint, it is none of a density, or it is one of colour for a grey picture; a
            value is out of its range.
    """
    if checkpoint is None:
        raise ValueError("baseline=pixelcnn_map needs a density: train one by python scripts/train.py "
                         "objective=likelihood net=pixelcnn, and give its folder as baseline.checkpoint=...")
    weight, lr = number("baseline.weight", weight, 0), number("baseline.lr", lr, 0, above=True)
    iterations, tile = integer("baseline.iterations", iterations, 1), integer("baseline.tile", tile, 16)
    device = problem.observation.device
    density = load_density(str(checkpoint), root).restorer.to(device).requires_grad_(False)
    channels = problem.image_shape[1]
    if density.channels not in (1, channels):
        raise ValueError(f"baseline.checkpoint={checkpoint}: a density of pictures with {density.channels} channels, "
                         f"but {problem.name} has {channels}: give one that was trained with channels=1")
    image = problem.observed().clamp(0, 1).clone().requires_grad_()
    std = _noise_std(problem)
    counted = problem.observation.numel() if problem.counted is None else float(
        problem.counted.expand_as(problem.observation).sum())
    optimizer = torch.optim.Adam([image], lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    with torch.enable_grad():
        for _ in range(iterations):
            optimizer.zero_grad()
            (problem.residual(problem.operator(image)) * counted / (2 * std**2)).backward()
            for nats in log_probs(density, image, tile):
                (-weight * nats).backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                image.clamp_(0, 1)
    return image.detach()


def log_probs(density: Density, image: Tensor, tile: int) -> Iterator[Tensor]:
    """log p of an image (N, C, H, W) in nats, in parts that sum to it: one for each window of `tile` px a side.

    A window is seen with all that its values depend on. A density of grey pictures takes each channel as a picture.
    """
    pictures = image.reshape(-1, density.channels, *image.shape[-2:])
    for top in range(0, image.shape[-2], tile):
        for left in range(0, image.shape[-1], tile):
            above, before = max(0, top - density.reach), max(0, left - density.reach)
            window = pictures[..., above:top + tile, before:left + tile + density.reach]
            yield density(window)[..., top - above:, left - before:][..., :tile].sum()


def _noise_std(problem: Problem) -> float:
    known = getattr(problem.noise, "std", None)
    return max(known if known is not None else problem.noise_std() or 0, LEAST_STD)
