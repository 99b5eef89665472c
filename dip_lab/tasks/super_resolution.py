"""Super-resolution: the observation is the image, smoothed and thinned out by a whole factor."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dip_lab.checks import one_of
from dip_lab.data.images import Images
from dip_lab.tasks.kernels import Kernel
from dip_lab.tasks.operators import Local, Operator
from dip_lab.tasks.views import View

FACTORS = (2, 4, 8)


class Downsample(Local, Operator):
    """A(X) = R_h X R_w^T: one small matrix for each axis holds the kernel, the stride and the border rule.

    Two matrix products are faster than a strided convolution with padding, and their gradient is deterministic on
    a GPU (that of replication padding is not). An image of n px, whatever n is, is observed as ceil(n / factor) px.
    Computed in float32 at least, under autocast too.

    Raises:
        ValueError: a factor other than 2, 4, 8; an image smaller than the factor.
    """

    task, baseline = "super_resolution", "lanczos"

    def __init__(self, factor: int, kernel: Kernel):
        super().__init__()
        one_of("task.factor", factor, FACTORS)
        self.factor = self.unit = factor
        self.kernel = kernel
        self.register_buffer("rows", torch.empty(0, 0), persistent=False)
        self.register_buffer("columns", torch.empty(0, 0), persistent=False)

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Build the matrices for a target; for a given observation the first `forward` does."""
        if not given:
            self._fit(*images.pixels.shape[-2:], images.pixels)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, ceil(H / factor), ceil(W / factor))."""
        image = image.to(torch.promote_types(image.dtype, torch.float32))
        self._fit(*image.shape[-2:], image)
        with torch.autocast(image.device.type, enabled=False):
            return self.rows @ (image @ self.columns.T)

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The size of the image last seen if it is observed at this size, else `factor` times this size."""
        channels, height, width = observation_shape
        known = self.rows.shape[1], self.columns.shape[1]
        if tuple(-(-side // self.factor) for side in known) == (height, width):
            return channels, *known
        return channels, height * self.factor, width * self.factor

    def window(self, rows: slice, columns: slice) -> tuple["Downsample", slice, slice]:
        """Rows and columns start at multiples of the factor; the window's border is continued as that of a picture."""
        part = Downsample(self.factor, self.kernel)
        part._fit(rows.stop - rows.start, columns.stop - columns.start, self.rows)
        return part, *(slice(side.start // self.factor, -(-side.stop // self.factor)) for side in (rows, columns))

    def _fit(self, height: int, width: int, like: Tensor) -> None:
        fits = (self.rows.shape[1], self.columns.shape[1]) == (height, width)
        if fits and self.rows.dtype == like.dtype and self.rows.device == like.device:
            return
        if min(height, width) < self.factor:
            raise ValueError(
                f"task.factor={self.factor}: a picture of {width} x {height} px is smaller than one pixel of "
                f"its observation; choose a larger picture or a smaller factor"
            )
        self.rows = self.kernel.matrix(height, self.factor).to(like)
        self.columns = self.kernel.matrix(width, self.factor).to(like)


class Enlarged(View):
    """Bicubic upsampling (a = -1/2, Pillow's BICUBIC), clamped to [0, 1], cropped to the image's size."""

    def observed(self, observation: Tensor, operator: Downsample) -> Tensor:
        """At the image's size."""
        _, height, width = operator.image_shape(tuple(observation.shape[1:]))
        larger = F.interpolate(
            observation, scale_factor=operator.factor, mode="bicubic", align_corners=False, antialias=True
        )
        return larger[..., :height, :width].clamp(0, 1)


class PillowResize:
    """Observes as published: Pillow shrinks the 8-bit target to an 8-bit observation.

    The published observation is made with Lanczos of 3 lobes while A has 2 (settings of
    super-resolution.ipynb), so A(target) is close to it but not equal. Sides that are not a multiple of the
    factor are continued by their last pixel.
    """

    def __init__(self, factor: int, filter: str):
        one_of("task.factor", factor, FACTORS)
        one_of("task.observe.filter", filter, ("lanczos", "bicubic", "bilinear", "box"))
        self.factor, self.filter = factor, Image.Resampling[filter.upper()]

    def __call__(self, target: Tensor, operator: Operator) -> Tensor:
        """(1, C, H, W) in [0, 1] -> (1, C, ceil(H / factor), ceil(W / factor)) float32 of whole 255ths."""
        height, width = target.shape[-2:]
        larger = F.pad(target, (0, -width % self.factor, 0, -height % self.factor), mode="replicate")
        planes = larger[0].mul(255).round().clamp(0, 255).byte().cpu().numpy()
        size = larger.shape[-1] // self.factor, larger.shape[-2] // self.factor
        # one channel at a time: a fourth channel must not weigh the other three, as alpha does in Pillow
        small = np.stack([Image.fromarray(plane).resize(size, self.filter) for plane in planes])
        return torch.from_numpy(small)[None].to(target) / 255
