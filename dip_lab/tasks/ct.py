"""Computed tomography: the observation is a sinogram, the line integrals of the image along parallel beams."""

import math
import warnings

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from dip_lab.checks import flag, integer, number
from dip_lab.data.array import advise_scale, transposed
from dip_lab.data.images import MIN_SIDE, Images
from dip_lab.tasks.operators import Operator
from dip_lab.tasks.views import View


class Radon(Operator):
    """A(x): the image turned by each angle with bilinear interpolation, and summed along its columns.

    Computed by a sparse matrix and its transpose, whose products are exact adjoints and deterministic. Lengths are in
    units of the image's longest side, so that values lie in [0, 1], or up to 1.4 along a diagonal; otherwise it is
    `skimage.transform.radon` at the angles `arc * k / views` in degrees, k = 0 ... views - 1.

    The observation is (N, C, detectors, views). There are as many detectors as the diagonal of a square around the
    image has pixels, rounded up; with `circle`, as many as its longest side has, and what lies outside the circle in
    that square is not seen.

    Args:
        views: number of angles.
        arc: degrees that the views are spread over; below 180: limited angle.
        circle: see above.

    Raises:
        ValueError: an argument is out of its range.
    """

    task, baseline = "ct", "fbp"

    def __init__(self, views: int, arc: float, circle: bool):
        super().__init__()
        self.views = integer("task.views", views, 1)
        self.arc = number("task.arc", arc, 0, 360, above=True)
        self.circle = flag("task.circle", circle)
        self.size: tuple[int, int] | None = None  # of the image
        self.matrix: SparseMatrix | None = None  # (views * detectors, H * W)

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Build the matrix for images of the target's size.

        For a given sinogram: for the largest square whose diagonal (with `circle`, whose side) it covers.

        Raises:
            ValueError: a sinogram that has another number of views, or too few detectors.
        """
        height, width = images.pixels.shape[-2:]
        if not given:
            self._build(height, width, detectors_of(max(height, width), self.circle))
            return
        detectors, views = height, width
        if views != self.views:
            raise ValueError(f"task.views={self.views}: sinogram {images.name} has {detectors} rows, the detectors, "
                             f"and {views} columns, the views: "
                             f"{transposed(images) or f'give task.views={views}, or its transpose'}")
        side = detectors if self.circle else math.floor(detectors / math.sqrt(2))
        if side < MIN_SIDE:
            raise ValueError(f"{images.name}: {detectors} detectors, the sinogram's rows, see a picture of {side} px: "
                             f"give a sinogram of one that has at least {MIN_SIDE}")
        self._build(side, side, detectors)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, detectors, views)."""
        return self.matrix(image.flatten(-2)).unflatten(-1, (self.views, -1)).mT.contiguous()

    def image_shape(self, observation_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The size that was prepared."""
        return observation_shape[0], *self.size

    def given(self, pixels: Tensor) -> Tensor:
        """The sinogram as it is; a warning in the log if the picture behind it is far from [0, 1]."""
        advise_scale(float(self._back_projection(pixels, "ramp").max()))
        return pixels

    def filtered_back_projection(self, observation: Tensor, filter: str) -> Tensor:
        """`skimage.transform.iradon` with linear interpolation and the filter of that name, clamped to [0, 1]."""
        return self._back_projection(observation, filter).clamp(0, 1)

    def _back_projection(self, observation: Tensor, filter: str) -> Tensor:
        from skimage.transform import iradon  # takes a second

        (height, width), side = self.size, max(self.size)
        theta = np.arange(self.views) * self.arc / self.views
        lines = observation.detach().cpu().double().flatten(0, 1).numpy() * side
        planes = [iradon(each, theta, side, filter_name=filter, circle=self.circle) for each in lines]
        top, left = side // 2 - height // 2, side // 2 - width // 2
        image = torch.from_numpy(np.stack(planes)[:, top : top + height, left : left + width])
        return image.unflatten(0, observation.shape[:2]).to(observation)

    def _build(self, height: int, width: int, detectors: int) -> None:
        matrix = radon_matrix(height, width, detectors, self.views, self.arc, self.circle)
        self.size, self.matrix = (height, width), SparseMatrix(matrix)


class BackProjected(View):
    """Filtered back-projection with the ramp, clamped to [0, 1]."""

    def observed(self, observation: Tensor, operator: Radon) -> Tensor:
        """At the image's size."""
        return operator.filtered_back_projection(observation, "ramp")


def detectors_of(side: int, circle: bool) -> int:
    """The number of beams that see an image whose longest side has `side` pixels.

    >>> detectors_of(128, circle=False), detectors_of(128, circle=True)
    (182, 128)
    """
    return side if circle else side + math.ceil(math.sqrt(2) * side - side)


def radon_matrix(height: int, width: int, detectors: int, views: int, arc: float,
                 circle: bool) -> scipy.sparse.csr_matrix:
    """The matrix of `Radon`, (views * detectors, height * width) float32: each row is a beam.

    The image is turned about the pixel (height // 2, width // 2), which the middle detector sees at any angle.
    """
    side = max(height, width)
    along = np.arange(detectors) - detectors // 2
    x, y = along[None, :], along[:, None]  # x: the detector; y: along the beam
    blocks = []
    for angle in np.deg2rad(np.arange(views) * arc / views):
        columns = np.cos(angle) * x + np.sin(angle) * y + width // 2
        rows = np.cos(angle) * y - np.sin(angle) * x + height // 2
        _, detector = (inside := (rows > -1) & (rows < height) & (columns > -1) & (columns < width)).nonzero()
        rows, columns = rows[inside], columns[inside]
        top, left = np.floor(rows).astype(np.int32), np.floor(columns).astype(np.int32)
        parts = []
        for r, row_weight in ((top, top + 1 - rows), (top + 1, rows - top)):
            for c, column_weight in ((left, left + 1 - columns), (left + 1, columns - left)):
                seen = (r >= 0) & (r < height) & (c >= 0) & (c < width)
                if circle:
                    seen &= (r - height // 2) ** 2 + (c - width // 2) ** 2 <= (side // 2) ** 2
                parts.append(((row_weight * column_weight)[seen], detector[seen], (r * width + c)[seen]))
        weights, lines, pixels = (np.concatenate(each) for each in zip(*parts, strict=True))
        block = scipy.sparse.coo_matrix((weights / side, (lines, pixels)), shape=(detectors, height * width))
        blocks.append(block.tocsr().astype(np.float32))  # adds what several points of a beam take from one pixel
    return scipy.sparse.vstack(blocks, format="csr")


class SparseMatrix(nn.Module):
    """rows (..., n) -> (..., m) for a matrix M (m, n): M x for each row x.

    M is kept in both directions, so that the gradient is as fast as the product and exactly its adjoint. The order of
    the sums is fixed. Computed in float32 at least, under autocast too.
    """

    def __init__(self, matrix: scipy.sparse.csr_matrix):
        super().__init__()
        for name, each in (("m", matrix), ("mt", matrix.T.tocsr())):
            each.sort_indices()
            for part in ("indptr", "indices", "data"):
                self.register_buffer(f"{name}_{part}", torch.from_numpy(getattr(each, part)), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """The product, of a dtype of at least float32."""
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        forth = self.m_indptr, self.m_indices, self.m_data.to(rows.dtype)
        back = self.mt_indptr, self.mt_indices, self.mt_data.to(rows.dtype)
        with torch.autocast(rows.device.type, enabled=False):
            columns = _Product.apply(rows.flatten(0, -2).T, *forth, *back)
        return columns.T.unflatten(0, rows.shape[:-1])


class _Product(torch.autograd.Function):
    """M @ columns with the gradient M^T @ columns; M and M^T as the three arrays of compressed sparse rows."""

    @staticmethod
    def forward(columns: Tensor, starts: Tensor, indices: Tensor, data: Tensor, *back: Tensor) -> Tensor:
        size = len(starts) - 1, len(columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its sparse matrices a beta, once
            matrix = torch.sparse_csr_tensor(starts, indices, data, size, check_invariants=False)
        return matrix @ columns.contiguous()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *forth, starts, indices, data = ctx.saved_tensors
        return _Product.apply(gradient, starts, indices, data, *forth), *[None] * 6
