"""The answer of a baseline as latent: the network starts from a restoration instead of from noise."""

from torch import Tensor

from dip_lab.baselines.answers import Baseline, answer_of, check_baseline
from dip_lab.latents.image import ImageLatent
from dip_lab.latents.latent import Pictured


class Answered(ImageLatent):
    """What a baseline makes of the observation; noise channels may follow.

    The baseline runs once, before the first iteration; for a clip, once for each frame. That a network begins with
    another method's restoration, and not with noise, is what the hybrids of Deep Image Prior with trained priors have
    in common, such as https://arxiv.org/abs/1903.10176, which pulls the image towards it instead.

    Args:
        baseline: Problem -> image.
        noise_depth: channels of uniform noise after those of the picture; 0: the picture alone.
        scale: what the noise is multiplied by.
        jitter: standard deviation of the noise added to all channels at each iteration.

    Raises:
        ValueError: there is no baseline; in `setup`, it does not suit the task; otherwise as in `ImageLatent`.
    """

    def __init__(self, baseline: Baseline, noise_depth: int, scale: float, jitter: float) -> None:
        super().__init__(None, noise_depth, scale, jitter)
        self.baseline = check_baseline(baseline, "latent.baseline")
        self.is_observation = False

    def _picture(self, problem: Pictured) -> Tensor:
        image, _ = answer_of(self.baseline, problem, "latent.baseline")
        return image
