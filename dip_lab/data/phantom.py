"""Test pictures of medical imaging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dip_lab.checks import integer, one_of
from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images


@dataclass
class Phantom(Source):
    """The phantom `name` of scikit-image, grey, shrunk to `size` x `size` px without aliasing or ringing."""

    name: str
    size: int

    @property
    def label(self) -> str:
        return str(self.name)

    def load(self) -> Images:
        """Raises ValueError for an unknown name, or a size that is below 8 or above the file's 400 px."""
        import torch
        from skimage.data import shepp_logan_phantom
        from skimage.transform import resize

        from dip_lab.data.images import MIN_SIDE, Images

        one_of("data.name", self.name, ("shepp_logan",))
        original = shepp_logan_phantom()
        size = integer("data.size", self.size, MIN_SIDE, original.shape[0])
        pixels = resize(original, (size, size), anti_aliasing=size < original.shape[0]).clip(0, 1)
        return Images(self.name, torch.from_numpy(pixels).float()[None, None])
