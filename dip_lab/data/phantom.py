"""Test pictures of medical imaging."""

from dataclasses import dataclass

import torch

from dip_lab.checks import integer, one_of
from dip_lab.images import MIN_SIDE, Picture


@dataclass
class Phantom:
    """The phantom `name` of scikit-image, grey, shrunk to `size` x `size` px without aliasing or ringing."""

    name: str
    size: int

    def load(self) -> Picture:
        """Raises ValueError for an unknown name, or a size that is below 8 or above the file's 400 px."""
        from skimage.data import shepp_logan_phantom
        from skimage.transform import resize

        one_of("data.name", self.name, ("shepp_logan",))
        original = shepp_logan_phantom()
        size = integer("data.size", self.size, MIN_SIDE, original.shape[0])
        pixels = resize(original, (size, size), anti_aliasing=size < original.shape[0]).clip(0, 1)
        return Picture(self.name, torch.from_numpy(pixels).float()[None, None])
