"""The discretised mixture of logistics of PixelCNN++, https://arxiv.org/abs/1701.05517: smooth in the value itself."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = 3  # numbers of each logistic: the logarithm of its weight, its mean, the logarithm of its scale
LEVELS = 256
LOG_SCALE = (-7.0, 7.0)  # 8-bit levels are 2 / 255 = exp(-4.8) apart


def log_prob(values: Tensor, parameters: Tensor) -> Tensor:
    """Log-probability in nats of the levels around values (...), under mixtures (..., 3 K) of K logistics each.

    A value v in [0, 1] stands for what rounds to a level of 8 bits: its probability is that of v - 1/510 to v + 1/510,
    the lowest level reaches down and the highest up without an end. So the probabilities of all levels sum to one, and
    between them the likelihood is differentiable in v, but for a jump where the two outer levels begin.

    Means and scales are those of 2 v - 1. The difference of the two sigmoids a > b is computed as
    sigmoid(a) sigmoid(-b) (1 - exp(b - a)), which loses no digits anywhere.

    >>> black_to_white = torch.arange(256) / 255
    >>> round(log_prob(black_to_white, torch.zeros(256, 30)).exp().sum().item(), 4)
    1.0
    """
    weights, means, log_scales = parameters.chunk(KINDS, -1)
    half = 1 / (LEVELS - 1)
    steepness = torch.exp(-log_scales.clamp(*LOG_SCALE))
    values = values.unsqueeze(-1)
    centred = 2 * values - 1 - means
    lowest, highest = values < half / 2, values > 1 - half / 2
    inner = F.logsigmoid(steepness * (centred + half)).masked_fill(highest, 0)
    inner = inner + F.logsigmoid(steepness * (half - centred)).masked_fill(lowest, 0)
    inner = inner + torch.log(-torch.expm1(-2 * half * steepness)).masked_fill(lowest | highest, 0)
    return torch.logsumexp(weights.log_softmax(-1) + inner, -1)


def bits_per_dim(log_probs: Tensor) -> Tensor:
    """The mean over values of their log-probabilities in nats, as the bits that a perfect coder takes for a value.

    >>> bits_per_dim(torch.full((1, 1, 2, 2), math.log(1 / 256)))
    tensor(8.)
    """
    return -log_probs.mean() / math.log(2)
