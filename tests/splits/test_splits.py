"""Seeds, tiles, chunks and frames: pieces of a problem, whose restorations are joined into one."""

import pytest
import torch

from dip_lab.data.images import Images
from dip_lab.splits.chunks import Chunks, Frames
from dip_lab.splits.seeds import Seeds
from dip_lab.splits.tiles import SharedTiles, Tiles

pytestmark = pytest.mark.usefixtures("without_plots")


def clip(frames=5, side=24):
    return Images("clip", torch.rand(frames, 1, side, side, generator=torch.Generator().manual_seed(0)))


def test_chunks_of_tiles_of_seeds(fit_tiny, tmp_path):
    restoration = fit_tiny("iterations=2", "stopping=fixed", "video.chunk=3", "video.overlap=1", "tile=16",
                           "splits.tiles.overlap=4", "splits.seeds.count=2", picture=clip(), folder=tmp_path)
    assert restoration.image.shape == (5, 1, 24, 24) and restoration.image.isfinite().all()
    chunks = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert chunks == ["0000", "0001"] and len(restoration.summary.parts) == 2
    assert restoration.summary.members is None  # those of one tile
    deviation = restoration.pictures["uncertainty"]
    assert deviation.shape == (5, 1, 24, 24) and restoration.summary.uncertainty_max == float(deviation.max())
    tiles = sorted((tmp_path / "parts" / "0001" / "parts").iterdir())
    assert len(tiles) == 4 and all((tile / "seed1" / "result.json").exists() for tile in tiles)


def test_frames_are_chunks_of_one(fit_tiny):
    apart = fit_tiny("iterations=2", "video=per_frame", picture=clip(3))
    first = fit_tiny("iterations=2", picture=Images("clip", clip(3).pixels[:1]))
    assert len(apart.summary.parts) == 3
    assert apart.image.shape == (3, 1, 24, 24) and first.image.shape == (1, 1, 24, 24)


@pytest.mark.parametrize("split, kept", [(Seeds(1), False), (Seeds(2), True), (Tiles(None, 4), False),
                                         (Tiles(16, 4), True), (SharedTiles(16, 4), True), (Chunks(9, 2), False),
                                         (Chunks(2, 1), True), (Frames(), True)])
def test_a_split_says_whether_it_divides(split, kept, fit_tiny):
    from types import SimpleNamespace

    problem = SimpleNamespace(image_shape=(5, 1, 24, 24), operator=SimpleNamespace())
    assert split.divides(SimpleNamespace(problem=problem)) is kept


def test_one_network_for_all_tiles_says_how_to_fit_them_apart(fit_tiny):
    picture = Images("large", torch.rand(1, 1, 40, 40))
    with pytest.raises(ValueError, match="same for all images of a stack: use latent=noise, or splits/tiles=each"):
        fit_tiny("tile=24", "splits.tiles.overlap=4", "splits/tiles=one", "latent=meshgrid", picture=picture)
