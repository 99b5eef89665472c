"""Data terms between A(x) and y: scalars of at least 0, in float32 whatever the precision of the fit."""

from torch import Tensor, nn

from dip_lab.checks import number, one_of


class Misfit(nn.Module):
    """The mean over the observation of a law's `terms`, 0 where they agree.

    Args:
        over: what the sum is divided by where only a share of the observation counts (holes, held-out values): the
            number of `all` values, as published, so that the loss shrinks with the share; or of the `counted` ones.

    Raises:
        ValueError: `over` is something else.
    """

    def __init__(self, over: str):
        super().__init__()
        self.over = one_of("task.misfit.over", over, ("all", "counted"))

    def forward(self, prediction: Tensor, observation: Tensor, counted: Tensor | None) -> Tensor:
        """0-d float32; `counted` is 1 where the observation counts and 0 elsewhere, None: everywhere."""
        terms = self.terms(prediction.float(), observation.float())
        if counted is None:
            return terms.mean()
        total = (terms * counted).sum()
        return total / (terms.numel() if self.over == "all" else counted.expand_as(terms).sum())

    def terms(self, prediction: Tensor, observation: Tensor) -> Tensor:
        """One value of at least 0 for each value of the observation; finite even where that does not count."""
        raise NotImplementedError


class MeanSquared(Misfit):
    """(A(x) - y)^2: Gaussian noise, and the published choice for everything."""

    def terms(self, prediction: Tensor, observation: Tensor) -> Tensor:
        return (prediction - observation).square()


class MeanAbsolute(Misfit):
    """|A(x) - y|: outliers, such as impulse noise, pull no harder than anything else."""

    def terms(self, prediction: Tensor, observation: Tensor) -> Tensor:
        return (prediction - observation).abs()


class Huber(Misfit):
    """Quadratic up to `delta`, linear beyond it: 2 delta |r| - delta^2, so that small residuals weigh as in the mean
    square.

    Raises:
        ValueError: `delta` is not a positive number.
    """

    def __init__(self, over: str, delta: float):
        super().__init__(over)
        self.delta = number("task.misfit.delta", delta, 0, above=True)

    def terms(self, prediction: Tensor, observation: Tensor) -> Tensor:
        return 2 * nn.functional.huber_loss(prediction, observation, reduction="none", delta=self.delta)


class Poisson(Misfit):
    """Deviance of counts, p - y + y log(y / p): the negative log-likelihood of Poisson noise less its minimum.

    Per photon of a white pixel, so the number of photons does not enter; `background` is added to both, which keeps
    the gradient finite where the prediction is black.

    Raises:
        ValueError: `background` is not a positive number.
    """

    def __init__(self, over: str, background: float):
        super().__init__(over)
        self.background = number("task.misfit.background", background, 0, above=True)

    def terms(self, prediction: Tensor, observation: Tensor) -> Tensor:
        prediction = prediction.clamp(min=0) + self.background  # a resampled prediction may be below 0
        observation = observation.clamp(min=0) + self.background
        return prediction - observation + observation * (observation / prediction).log()
