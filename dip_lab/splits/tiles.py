"""A large picture as overlapping tiles, fitted by one network each or by one network for all."""

from collections.abc import Iterator, Sequence

from dip_lab.checks import integer
from dip_lab.problem import Problem
from dip_lab.results.restoration import Restoration
from dip_lab.splits.parts import Parts, blended_deviation, whole
from dip_lab.splits.split import Piece
from dip_lab.splits.windows import Window, blended, windows
from dip_lab.tasks.operators import unit_of
from dip_lab.video.mode import Mode

# How tiles share one network: one tile at each iteration, each with an independent latent.
TILES = Mode(chunk=1, overlap=0, batch=1, keyframes=1, kernel=1, fps=1, apart="splits/tiles=each")


class Tiles(Parts):
    """Tiles of at most `size` x `size` px that share at least `overlap` px; None: the picture stays whole.

    Raises:
        ValueError: `overlap` is negative, or `size` is not above twice the overlap.
    """

    def __init__(self, size: int | None, overlap: int):
        self.overlap = integer("splits.tiles.overlap", overlap, 0)
        self.size = None if size is None else integer("tile", size, 2 * self.overlap + 1)

    def windows(self, problem: Problem) -> list[Window]:
        _, _, height, width = problem.image_shape
        rows, columns = (windows(side, self.size, self.overlap, unit_of(problem.operator)) for side in (height, width))
        return [Window(rows=r, columns=c) for r in rows for c in columns]


class SharedTiles(Tiles):
    """The same tiles, all fitted by one network; if they hold several frames of a clip, each has its own network."""

    def pieces(self, piece: Piece) -> Iterator[Piece]:
        if len(piece.problem.observation) > 1:
            yield from super().pieces(piece)
        else:
            tiles = [(window.rows, window.columns) for window in self.windows(piece.problem)]
            yield Piece(piece.problem.stacked(tiles), piece.cell, TILES, piece.tracked)

    def join(self, piece: Piece, members: Sequence[Restoration]) -> Restoration:
        if len(piece.problem.observation) > 1:
            return super().join(piece, members)
        windows, shape = self.windows(piece.problem), piece.problem.image_shape
        deviation = members[0].pictures.get("uncertainty")
        return whole(piece, members, blended(windows, members[0].image.split(1), shape),
                     blended_deviation(windows, () if deviation is None else deviation.split(1), shape))
