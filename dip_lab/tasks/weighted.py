"""Squared differences weighted by what is known of a camera's noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from dip_lab.checks import number
from dip_lab.tasks.misfits import MeanSquared

if TYPE_CHECKING:
    from dip_lab.tasks.noise_estimate import NoiseEstimate

SIDE = 7  # px of the mean that says how bright a place is: that of a pixel alone would follow its noise


class ByBrightness(MeanSquared):
    """(A(x) - y)^2 divided by the noise's variance where the picture is as bright; the weights have the mean 1.

    The variance at each brightness is that of the noise estimate, see `dip_lab.tasks.noise_estimate`.
    """

    def __init__(self, over: str):
        super().__init__(over)
        self._noise: NoiseEstimate | None = None
        self._weight: tuple[int, Tensor] | None = None

    def prepare(self, noise: NoiseEstimate | None) -> None:
        """Take the noise estimate of the observation.

        Raises:
            ValueError: there is none, since the observation is no picture, or too little of it is known.
        """
        self._noise, self._weight = noise, None
        if self._noise is None:
            raise ValueError("task/misfit=by_brightness needs a noisy picture to estimate the noise from, with at "
                             "least 16 x 24 px: try task/misfit=mse")

    def terms(self, prediction: Tensor, observation: Tensor) -> Tensor:
        return self._weights(observation) * super().terms(prediction, observation)

    def _weights(self, observation: Tensor) -> Tensor:
        """Made once, except for the frames of a clip, which come in turns."""
        if self._weight is None or self._weight[0] != observation.data_ptr():
            half = SIDE // 2
            brightness = avg_pool2d(pad(observation, (half,) * 4, mode="replicate"), SIDE, 1)
            weight = self._noise.expected_square(brightness).clamp_min(1e-8).reciprocal()
            self._weight = observation.data_ptr(), weight / weight.mean()
        return self._weight[1]


class LumaChroma(MeanSquared):
    """(A(x) - y)^2 in brightness and two differences of colour, of which the latter count `chroma` times as much.

    The three axes are orthonormal, so that `chroma=1` is the mean square; a camera's noise is stronger in colour. A
    grey observation has no colour, and gives the mean square.

    Raises:
        ValueError: `chroma` is not a positive number.
    """

    def __init__(self, over: str, chroma: float):
        super().__init__(over)
        self.chroma = number("task.misfit.chroma", chroma, 0, above=True)

    def terms(self, prediction: Tensor, observation: Tensor) -> Tensor:
        residual = prediction - observation
        if residual.shape[1] != 3:
            return residual.square()
        luma = residual.mean(1, keepdim=True)
        return 3 / (1 + 2 * self.chroma) * (luma.square() + self.chroma * (residual - luma).square())
