"""Total variation without a network: the pixels themselves are fitted."""

import torch
from torch import Tensor

from dip_lab.checks import integer, number
from dip_lab.problem import Problem
from dip_lab.randomness import generator_of
from dip_lab.regularizers.tv import TotalVariation


def total_variation(problem: Problem, weight: float, iterations: int, lr: float, noise: float, seed: int) -> Tensor:
    """The image with the least misfit + weight * mean TV, found by Adam.

    "Pixels + TV" of the prior-effect figure in Deep Image Prior, https://arxiv.org/abs/1711.10925; for denoising this
    is the picture of Rudin, Osher and Fatemi, https://doi.org/10.1016/0167-2789(92)90242-F

    Args:
        problem: of any task.
        weight: of the isotropic total variation divided by the number of values of the image (1, C, H, W), so that it
            means the same at any size; `regularizer.tv.weight`, which multiplies the sum, is this over that number.
        iterations: steps of Adam, at least 1.
        lr: step size of Adam, in the [0, 1] units of a pixel.
        noise: start from U[0, noise), as published; without TV, that noise remains wherever the operator sees nothing.
            0: start from the observation, made as large as the picture.
        seed: of that noise.

    Returns:
        (1, C, H, W) float32 in [0, 1].

    Raises:
        ValueError: `weight` is negative, `iterations` is below 1, `lr` is not positive, or `noise` is not in [0, 1].
    """
    weight, lr = number("baseline.weight", weight, 0), number("baseline.lr", lr, 0, above=True)
    image = problem.observed().clone()
    if number("baseline.noise", noise, 0, 1):
        image = noise * torch.rand(image.shape, generator=generator_of(seed, "baseline")).to(image)
    image.requires_grad_()
    variation = TotalVariation(weight / image.numel(), isotropic=True)
    optimizer = torch.optim.Adam([image], lr)
    with torch.enable_grad():
        for _ in range(integer("baseline.iterations", iterations, 1)):
            optimizer.zero_grad()
            (problem.misfit(image) + variation(image)).backward()
            optimizer.step()
    return image.detach().clamp(0, 1)
