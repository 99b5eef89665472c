"""The authors' own results."""

from torch import Tensor

from dip_lab.data.images import read_picture
from dip_lab.data.registry import located
from dip_lab.problem import Problem


def picture(problem: Problem, path: str | None, root: str | None) -> Tensor:
    """The restoration of this problem that was published as the file `path`; (1, C, H, W) float32 in [0, 1].

    `root` is the folder of the data sets, if it is not DIP_LAB_DATA.

    Raises:
        ValueError: there is no path or no such picture, or its size or channels are not those of the restoration.
    """
    if path is None:
        raise ValueError("baseline=published needs an experiment of paper/ that names the authors' pictures")
    pixels = read_picture(located(str(path), root)).pixels
    if tuple(pixels.shape) != tuple(problem.image_shape):
        (_, channels, rows, columns), (_, wanted, height, width) = pixels.shape, problem.image_shape
        raise ValueError(f"baseline.path={path} is {columns} x {rows} px with {channels} channels, but "
                         f"{problem.name} is restored as {width} x {height} px with {wanted}: give its own picture")
    return pixels.to(problem.observation.device)
