"""A problem split into pieces that are fitted one by one, and whose restorations are joined again."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dip_lab.checks import one_line
from dip_lab.problem import Problem
from dip_lab.results.history import COLUMNS, History
from dip_lab.results.restoration import Restoration
from dip_lab.results.summary import Summary
from dip_lab.runs.files import write_json
from dip_lab.runs.folder import RESULT, read_result
from dip_lab.runs.identity import Cell
from dip_lab.runs.proved import prove, write_proved
from dip_lab.video.mode import Mode

log = logging.getLogger(__name__)
IMAGE = "image.npy"  # of a part, as it was computed, so that blending neither computes it again nor rounds it
DEVIATION = "deviation.npy"  # the standard deviation of each of its values, where the method has one


@dataclass(frozen=True)
class Piece:
    """A problem to restore, and where its files go.

    Attributes:
        cell: its seed and its folder are used.
        mode: how the images of a stack share one network; a single picture does not use it.
        tracked: whether the trackers see its curves.
        title: such as "part 2 of 9"; empty for the whole.
    """

    problem: Problem
    cell: Cell
    mode: Mode
    tracked: bool = True
    title: str = ""

    def stored(self) -> Restoration | None:
        """The restoration that an earlier launch finished. Default: None, so its checkpoint is continued."""
        return None

    def store(self, member: Restoration) -> Restoration:
        """Keep its restoration for a later launch. Default: does nothing, since the checkpoint holds everything."""
        return member


class Split(Protocol):
    """A way to split a problem."""

    def divides(self, piece: Piece) -> bool:
        """Whether there is more than one piece."""

    def pieces(self, piece: Piece) -> Iterator[Piece]:
        """The pieces, made one by one: each holds a copy of its part of the observation.

        Raises:
            ValueError: the problem cannot be split like this.
        """

    def join(self, piece: Piece, members: Sequence[Restoration]) -> Restoration:
        """The restoration of the whole from those of its pieces; the last ones are missing after an interruption."""


@dataclass(frozen=True)
class Part(Piece):
    """A window of a picture or clip, with its own folder: a window that is done is not fitted again."""

    def stored(self) -> Restoration | None:
        """Also None if the folder has the restoration of another observation."""
        folder = self.cell.folder
        result = read_result(folder) if folder else None
        if not result or result["status"] != "done" or result.get("observation") != self.problem.digest():
            return None
        path = folder / IMAGE
        try:
            prove(path)
            if (folder / DEVIATION).exists():
                path = folder / DEVIATION
                prove(path)
            image, pictures = self._array(IMAGE), self._uncertainty()
            summary = Summary.read(result, self.cell)
        except (OSError, TypeError, ValueError, EOFError) as error:
            log.warning("%s: %s: this part is fitted again", path, one_line(error))
            return None
        history = History(COLUMNS, folder / "history.csv")
        history.resume(10**12)
        history.path = None
        return Restoration(image, summary, history, pictures, [])

    def store(self, member: Restoration) -> Restoration:
        """Write the arrays, then the summary; what is returned has its arrays in their files and not in memory."""
        folder = self.cell.folder
        if folder is None:
            return member
        if "uncertainty" in member.pictures:
            write_proved(folder / DEVIATION, lambda file: np.save(file, member.pictures["uncertainty"].numpy()))
        write_proved(folder / IMAGE, lambda file: np.save(file, member.image.numpy()))
        write_json(folder / RESULT, dict(member.summary))
        return replace(member, image=self._array(IMAGE), pictures=self._uncertainty())

    def _uncertainty(self) -> dict[str, Tensor]:
        return {"uncertainty": self._array(DEVIATION)} if (self.cell.folder / DEVIATION).exists() else {}

    def _array(self, name: str) -> Tensor:
        """An array, read from its file piece by piece when it is used."""
        return torch.from_numpy(np.load(self.cell.folder / name, mmap_mode="c"))
