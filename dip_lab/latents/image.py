"""A picture as latent: a guide, or the observation itself."""

import torch
from torch import Tensor

from dip_lab.checks import integer
from dip_lab.data.images import read_picture
from dip_lab.data.registry import located
from dip_lab.latents.latent import Latent, Pictured
from dip_lab.latents.noise import Noise


class ImageLatent(Latent):
    """The picture at `path` or, without a path, the observation at the restoration's size; noise channels may follow.

    Where a network needs a larger latent, the picture is mirrored at its edges. The published flash/no-flash
    restoration takes the flash picture alone: Deep Image Prior, https://arxiv.org/abs/1711.10925

    Attributes:
        is_observation: whether z is the observation, and nothing else.

    Args:
        path: a guide of the restoration's size, a local file or one of a public data set; None: the observation.
        noise_depth: channels of uniform noise after those of the picture; 0: the picture alone.
        scale: what the noise is multiplied by.
        jitter: standard deviation of the noise added to all channels at each iteration.

    Raises:
        ValueError: the guide cannot be read or has another size; `scale` is not positive; `noise_depth` or `jitter`
            is negative.
    """

    def __init__(self, path: str | None, noise_depth: int, scale: float, jitter: float) -> None:
        super().__init__(depth=1, jitter=jitter)  # until `setup` knows it
        self.path = path
        noise_depth = integer("latent.noise_depth", noise_depth, 0)
        self.noise = Noise("uniform", scale, noise_depth, 0) if noise_depth else None
        self.is_observation = path is None and noise_depth == 0

    def setup(self, problem: Pictured) -> None:
        self.guide = self._picture(problem)
        if self.path is not None:
            height, width = problem.image_shape[-2:]
            self.guide = read_picture(located(self.path)).pixels
            h, w = self.guide.shape[-2:]
            if (h, w) != (height, width):
                raise ValueError(
                    f"latent.path={self.path} is {w} x {h} px and the restoration {width} x {height}: "
                    f"resize the guide, or crop the picture"
                )
        self.depth = self.guide.shape[1] + (self.noise.depth if self.noise else 0)

    def _picture(self, problem: Pictured) -> Tensor:
        """What z shows where there is no path, (1, C, H, W)."""
        return problem.guide()

    def _fixed(self, height: int, width: int, seed: int) -> Tensor:
        z = mirrored(self.guide, height, width)
        if self.noise is None:
            return z
        self.noise.prepare(height, width, seed)
        return torch.cat((z, self.noise.z), 1)


class Guide(ImageLatent):
    """The picture at `path` that guides a restoration, followed by noise channels.

    Raises:
        ValueError: there is no path, or as in `ImageLatent`.
    """

    def __init__(self, path: str | None, noise_depth: int, scale: float, jitter: float) -> None:
        if path is None:
            raise ValueError("task.guide has no value: give task.guide=flash.png, a picture of the same scene and size")
        super().__init__(path, noise_depth, scale, jitter)


def mirrored(image: Tensor, height: int, width: int) -> Tensor:
    """The image in the middle of a larger frame, mirrored beyond its edges; the frame may be much larger."""
    for dim, padded in ((-2, height), (-1, width)):
        side = image.shape[dim]
        before = (padded - side) // 2
        places = torch.arange(-before, padded - before, device=image.device) % (2 * side)
        image = image.index_select(dim, torch.minimum(places, 2 * side - 1 - places))
    return image
