"""JPEG: what a picture becomes when it is stored as JPEG, and what a decoded picture tells about its original.

JPEG turns the picture into YCbCr, averages the two chroma planes over 2 x 1 or 2 x 2 px (sampling), cuts each plane
into blocks of 8 x 8 from the upper left corner on, and rounds each DCT coefficient to a multiple of its table's step
(https://www.w3.org/Graphics/JPEG/itu-t81.pdf). A decoder interpolates the chroma planes linearly ("fancy upsampling"
of libjpeg, which Pillow uses too). All planes here are in 8-bit units, 0 to 255 less 128.
"""

import io
import os
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, JpegImagePlugin
from torch import Tensor

from dip_lab.checks import integer, one_of
from dip_lab.data.images import Images
from dip_lab.png import to_uint8
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.misfits import MeanSquared, Misfit
from dip_lab.tasks.operators import Operator

BLOCK = 8
SAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}  # Pillow's numbers
SHARE = ((1, 1), (1, 2), (2, 2))  # for those numbers: image rows and columns per row and column of a chroma plane
CHROMA = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # YCbCr of JFIF


@dataclass(frozen=True, eq=False)
class Compression:
    """The settings of a JPEG encoder.

    Attributes:
        steps: (2, 8, 8) float32, the quantisation steps of luma and chroma in 8-bit units; rows: vertical frequency.
        sampling: 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0; a grey picture has no chroma planes.
    """

    steps: Tensor
    sampling: int

    @property
    def tables(self) -> list[list[int]]:
        """The steps as Pillow takes them: 64 for luma and 64 for chroma, row by row (not in zigzag order)."""
        return self.steps.flatten(1).int().tolist()


def compression(quality: int, sampling: str, tables: str | None) -> Compression:
    """The settings of Pillow at this quality; or, if `tables` names a JPEG file, those of that file.

    Raises:
        ValueError: `quality` is not from 1 to 100; `sampling` is not 4:4:4, 4:2:2 or 4:2:0; the file does not exist, is
            not a JPEG, or has another sampling.
    """
    quality = integer("task.quality", quality, 1, 100)
    number = SAMPLING[one_of("task.sampling", sampling, tuple(SAMPLING))]
    if tables is not None:
        return _compression_of(os.path.expanduser(str(tables)))
    stored = io.BytesIO()
    Image.new("RGB", (BLOCK, BLOCK)).save(stored, "JPEG", quality=quality, subsampling=number)
    return _compression_of(stored)


def _compression_of(file: str | io.BytesIO) -> Compression:
    try:
        with Image.open(file, formats=("JPEG",)) as image:
            tables, sampling, colour = image.quantization, JpegImagePlugin.get_sampling(image), image.mode != "L"
    except OSError as error:
        raise ValueError(f"task.tables={file} cannot be read as a JPEG file ({error.strerror or 'another format'}): "
                         f"give the file as the camera or the web page stored it") from error
    if colour and sampling not in SAMPLING.values():
        raise ValueError(f"task.tables={file}: its chroma is stored neither 4:4:4 nor 4:2:2 nor 4:2:0: "
                         f"leave task.tables null and take task/misfit=mse")
    luma, chroma = tables[0], tables.get(1, tables[0])
    return Compression(torch.tensor([luma, chroma], dtype=torch.float32).reshape(2, BLOCK, BLOCK), max(sampling, 0))


class Blockwise(Identity):
    """A(x) = x, whose windows begin where JPEG's blocks do, including those of the chroma planes."""

    unit = 2 * BLOCK

    def prepare(self, images: Images, seed: int, given: bool) -> None:
        """Refuse what no JPEG can hold."""
        channels = images.pixels.shape[1]
        if channels not in (1, 3):
            raise ValueError(f"task=jpeg: {images.name} has {channels} channels, but a JPEG is grey or RGB: give a "
                             "picture of 1 or 3")


class Compressed:
    """Observes A(target) as Pillow stores it in a JPEG of 8 bits and decodes it."""

    def __init__(self, quality: int, sampling: str, tables: str | None):
        self.compression = compression(quality, sampling, tables)

    def __call__(self, target: Tensor, operator: Operator) -> Tensor:
        """(N, C, H, W) in [0, 1] -> A(target), of 1 or 3 channels, in whole 255ths."""
        return torch.cat([self._decoded(frame[None]) for frame in operator(target.detach())]).to(target)

    def _decoded(self, frame: Tensor) -> Tensor:
        stored = io.BytesIO()
        Image.fromarray(to_uint8(frame)).save(
            stored, "JPEG", qtables=self.compression.tables[: min(len(frame[0]), 2)],
            subsampling=self.compression.sampling,
        )
        decoded = np.asarray(Image.open(stored), dtype=np.float32).reshape(*frame.shape[-2:], -1)
        return torch.from_numpy(decoded).permute(2, 0, 1)[None] / 255


class Jpeg(torch.nn.Module):
    """JPEG's chain as differentiable functions of pictures (N, C, H, W) in [0, 1], C 1 or 3; float32 at least."""

    def __init__(self, compression: Compression):
        super().__init__()
        self.share = SHARE[compression.sampling]
        frequency, position = torch.arange(BLOCK)[:, None], torch.arange(BLOCK) + 0.5
        cosines = torch.cos(torch.pi / BLOCK * frequency * position) / 2  # orthonormal except for the first row
        cosines[0] /= 2**0.5
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("steps", compression.steps, persistent=False)
        self.register_buffer("chroma", torch.tensor(CHROMA), persistent=False)
        self.register_buffer("colours", torch.linalg.inv(torch.tensor(CHROMA).double()).float(), persistent=False)
        self._inverses: dict[tuple, Tensor] = {}

    def forward(self, image: Tensor) -> Tensor:
        """The picture as stored and decoded, but not rounded to 8 bits.

        The rounding of the coefficients has the gradient 1 (the straight-through estimator,
        https://arxiv.org/abs/1308.3432), so the gradient is about that of the identity.
        """
        numbers = []
        for plane, steps, _ in self.planes(image):
            exact = self.coefficients(plane) / steps
            numbers.append(exact + (exact.round() - exact).detach())
        return self.decoded(numbers, image.shape[-2:])

    def decoded(self, numbers: list[Tensor], size: tuple[int, int]) -> Tensor:
        """The picture (N, C, *size) of the numbers in a file, plane by plane (N, i, j, 8, 8), not rounded to 8 bits."""
        planes = []
        for index, whole in enumerate(numbers):
            share = self.share if index else (1, 1)
            height, width = (-(-side // times) for side, times in zip(size, share, strict=True))
            plane = self._pixels(whole * self.steps[min(index, 1)])
            planes.append(_enlarged(plane[..., :height, :width], share, size))
        return self._picture(torch.cat(planes, 1)).clamp(0, 1)

    def planes(self, image: Tensor) -> list[tuple[Tensor, Tensor, tuple[int, int]]]:
        """The planes that an encoder makes, (N, 1, h, w) with h and w multiples of 8, each with its steps and share.

        Sides that are not multiples of 8, or of 8 pixels of a chroma plane, are continued by their last pixel.
        """
        planes = []
        for index, plane in enumerate(self._ycc(image).split(1, 1)):
            share = self.share if index else (1, 1)
            plane = _continued(plane, BLOCK * share[0], BLOCK * share[1])
            planes.append((F.avg_pool2d(plane, share), self.steps[min(index, 1)], share))
        return planes

    def coefficients(self, plane: Tensor) -> Tensor:
        """(N, 1, 8 i, 8 j) -> (N, i, j, 8, 8): the orthonormal DCT-II of each block."""
        blocks = plane.unflatten(-1, (-1, BLOCK)).unflatten(-3, (-1, BLOCK))[:, 0].transpose(-3, -2)
        with torch.autocast(plane.device.type, enabled=False):
            return self.cosines.to(plane.dtype) @ blocks @ self.cosines.to(plane.dtype).T

    @torch.no_grad()
    def stored(self, decoded: Tensor) -> list[Tensor]:
        """The whole numbers (N, i, j, 8, 8) that a decoded picture's file held, plane by plane.

        The chroma planes are found by least squares, as those that the decoder's interpolation turns into the
        picture's. The numbers are exact as long as no coefficient was moved by half a step, be it by the rounding to 8
        bits or by cutting values off at black and white. In blocks that are cut by the picture's lower or right edge
        they are only close.
        """
        numbers, (height, width) = [], decoded.shape[-2:]
        for index, plane in enumerate(self._ycc(decoded).split(1, 1)):
            if index:
                rows, columns = (self._undone(*axis, plane) for axis in zip((height, width), self.share, strict=True))
                with torch.autocast(plane.device.type, enabled=False):
                    plane = rows @ plane @ columns.T
            plane = _continued(plane, BLOCK, BLOCK)
            numbers.append((self.coefficients(plane) / self.steps[min(index, 1)]).round())
        return numbers

    def _pixels(self, coefficients: Tensor) -> Tensor:
        """(N, i, j, 8, 8) -> (N, 1, 8 i, 8 j): the inverse of `coefficients`."""
        cosines = self.cosines.to(coefficients.dtype)
        with torch.autocast(coefficients.device.type, enabled=False):
            blocks = cosines.T @ coefficients @ cosines
        return blocks.transpose(-3, -2).flatten(3, 4).flatten(1, 2)[:, None]

    def _ycc(self, image: Tensor) -> Tensor:
        """[0, 1] to luma, and two chroma planes where there is colour, centred on 0."""
        levels = image.to(torch.promote_types(image.dtype, torch.float32)) * 255
        if levels.shape[1] == 1:
            return levels - 128
        luma, *chroma = (_weighted(levels, weights) for weights in self.chroma)
        return torch.cat([luma - 128, *chroma], 1)

    def _picture(self, ycc: Tensor) -> Tensor:
        if ycc.shape[1] > 1:
            ycc = torch.cat([_weighted(ycc, weights) for weights in self.colours], 1)
        return (ycc + 128) / 255

    def _undone(self, side: int, share: int, like: Tensor) -> Tensor:
        """(ceil(side / share), side): the pseudo-inverse of the decoder's interpolation of one axis."""
        key = side, share, like.device, like.dtype
        if key not in self._inverses:
            small = torch.eye(-(-side // share), dtype=torch.float64)[:, None, None]
            large = _enlarged(small, (1, share), (1, side))[:, 0, 0]
            self._inverses[key] = torch.linalg.pinv(large.T).to(like)
        return self._inverses[key]


class Recompressed(MeanSquared):
    """(JPEG(x) - y)^2: every picture that JPEG turns into the observation is as good as the original.

    Args:
        over: as in any misfit.
        quality, sampling, tables: as in `compression`.
    """

    def __init__(self, over: str, quality: int, sampling: str, tables: str | None):
        super().__init__(over)
        self.jpeg = Jpeg(compression(quality, sampling, tables))

    def terms(self, prediction: Tensor, observation: Tensor) -> Tensor:
        return (self.jpeg(prediction) - observation).square()


class QuantisationIntervals(Misfit):
    """Squared distance of the image's DCT coefficients to the intervals that the observation's were rounded from.

    An original coefficient lies within half a step of the stored multiple of the step, and the file tells no more: in
    that interval there is no loss. The mean over the planes of the mean over their coefficients, in [0, 1] units of a
    pixel.

    Args:
        quality, sampling, tables: as in `compression`.

    Raises:
        ValueError: (in the call) some values are to be left out, but a coefficient belongs to all pixels of its block.
    """

    def __init__(self, quality: int, sampling: str, tables: str | None):
        super().__init__("all")
        self.jpeg = Jpeg(compression(quality, sampling, tables))

    def forward(self, prediction: Tensor, observation: Tensor, counted: Tensor | None) -> Tensor:
        """0-d float32."""
        if counted is not None:
            raise ValueError("task/misfit=jpeg_interval looks at whole blocks and cannot leave out single pixels: "
                             "choose stopping=wmv or fixed, and no mask")
        means = []
        stored = self.jpeg.stored(observation.float())
        for (plane, steps, _), numbers in zip(self.jpeg.planes(prediction.float()), stored, strict=True):
            outside = (self.jpeg.coefficients(plane) - numbers * steps).abs() - steps / 2
            means.append((outside.clamp(min=0) / 255).square().mean())
        return torch.stack(means).mean()


def _weighted(planes: Tensor, weights: Tensor) -> Tensor:
    """A weighted sum; not a matrix product, which may have low precision on a GPU."""
    return (planes * weights.to(planes.dtype).reshape(1, -1, 1, 1)).sum(1, keepdim=True)


def _continued(plane: Tensor, rows: int, columns: int) -> Tensor:
    """Continued by its last pixel to sides that are multiples of these (F.pad has no deterministic gradient)."""
    below, right = -plane.shape[-2] % rows, -plane.shape[-1] % columns
    plane = torch.cat([plane, plane[..., -1:, :].expand(-1, -1, below, -1)], -2)
    return torch.cat([plane, plane[..., -1:].expand(-1, -1, -1, right)], -1)


def _enlarged(plane: Tensor, share: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Enlarged linearly between the centres of the pixels, repeated beyond the outermost ones, cropped to `size`."""
    for axis, times in ((-2, share[0]), (-1, share[1])):
        if times == 2:
            first, last = plane.narrow(axis, 0, 1), plane.narrow(axis, plane.shape[axis] - 1, 1)
            side = plane.shape[axis]
            longer = torch.cat([first, plane, last], axis)
            before, after = longer.narrow(axis, 0, side), longer.narrow(axis, 2, side)
            pairs = torch.stack([0.75 * plane + 0.25 * before, 0.75 * plane + 0.25 * after], plane.ndim + axis + 1)
            plane = pairs.flatten(plane.ndim + axis, plane.ndim + axis + 1)
    return plane[..., : size[0], : size[1]]
