"""A clip as overlapping chunks of frames, or as single frames."""

from dataclasses import dataclass

from dip_lab.problem import Problem
from dip_lab.splits.parts import Parts
from dip_lab.splits.windows import Window, windows


@dataclass(frozen=True)
class Chunks(Parts):
    """Chunks of `frames` frames, each fitted by one network, so that memory does not grow with the clip.

    Two neighbours share at least `overlap` frames, over which they are blended.
    """

    frames: int
    overlap: int

    def windows(self, problem: Problem) -> list[Window]:
        return [Window(frames=each) for each in windows(problem.image_shape[0], self.frames, self.overlap)]


class Frames(Parts):
    """Every frame, fitted by its own network."""

    def windows(self, problem: Problem) -> list[Window]:
        return [Window(frames=slice(t, t + 1)) for t in range(problem.image_shape[0])]
