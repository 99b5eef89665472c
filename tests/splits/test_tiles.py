import pytest
import torch

from dip_lab.data.images import Images
from dip_lab.splits.windows import Window, blended, windows


def cut(shape, tile, overlap, unit=1, chunk=None, shared=0):
    frames, _, height, width = shape
    return [Window(t, r, c) for t in windows(frames, chunk, shared) for r in windows(height, tile, overlap, unit)
            for c in windows(width, tile, overlap, unit)]


pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.mark.parametrize("unit", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("length", [7, 33, 40, 61, 100, 2048])
@pytest.mark.parametrize("size, overlap", [(40, 19), (32, 8), (13, 2), (48, 16), (512, 64), (9, 0)])
def test_windows_cover_and_overlap_for_every_unit(length, size, overlap, unit):
    whole = size // unit * unit
    if length > size and whole - overlap < unit:
        with pytest.raises(ValueError, match=rf"^tile={size}: tiles of this task start at multiples of {unit} px"):
            windows(length, size, overlap, unit)
        return
    found = windows(length, size, overlap, unit)
    assert set().union(*(range(window.start, window.stop) for window in found)) == set(range(length))
    assert len({window.start for window in found}) == len(found)
    assert all(a.stop - b.start >= overlap for a, b in zip(found, found[1:], strict=False))
    if length > size:
        assert all(window.start % unit == 0 for window in found)
        assert {window.stop - window.start for window in found[:-1]} <= {whole}
        assert whole <= found[-1].stop - found[-1].start < whole + unit


def test_the_remedy_is_the_smallest_tile_that_works():
    with pytest.raises(ValueError, match="needs tile=48 or more$"):
        windows(100, 40, 19, 16)
    assert len(windows(100, 48, 19, 16)) > 1
    with pytest.raises(ValueError, match="needs tile=16 or more$"):  # JPEG's blocks
        windows(100, 8, 0, 16)


@pytest.mark.parametrize("unit", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("overlap", [0, 5, 19])
def test_a_constant_stays_constant(unit, overlap):
    shape = 1, 1, 100, 75
    parts = cut(shape, 40 if overlap < 19 or unit < 16 else 48, overlap, unit)
    sizes = [[side.stop - side.start for side in (part.rows, part.columns)] for part in parts]
    images = [torch.full((1, 1, *size), 0.5) for size in sizes]
    assert len(parts) > 4
    torch.testing.assert_close(blended(parts, images, shape), torch.full(shape, 0.5))


def test_one_window_where_it_fits():
    assert windows(30, 32, 8) == [slice(0, 30)] and windows(30, None, 8) == [slice(0, 30)]


@pytest.mark.parametrize("shape, chunk, tile, overlap", [((1, 3, 50, 61), 32, 20, 6), ((7, 1, 20, 20), 3, None, 4),
                                                         ((5, 2, 30, 20), 2, 16, 0)])
def test_parts_of_a_picture_blend_to_the_picture(shape, chunk, tile, overlap):
    image = torch.rand(shape)
    parts = cut(shape, tile, overlap, chunk=chunk, shared=1)
    images = [image[part.frames, :, part.rows, part.columns] for part in parts]
    assert len(parts) > 2 and torch.allclose(blended(parts, images, shape), image, atol=1e-6)


def test_the_blend_has_no_step():
    parts = cut((1, 1, 8, 60), 40, 20)
    levels = [torch.full((1, 1, 8, 40), float(i)) for i in range(len(parts))]
    row = blended(parts, levels, (1, 1, 8, 60))[0, 0, 0]
    assert len(parts) == 2 and float(row[0]) == 0 and float(row[-1]) == 1
    assert float(row.diff().max()) < 0.06


@pytest.mark.parametrize("network", ["each", "one"])
@pytest.mark.parametrize("task", ["denoise", "inpaint", "super_resolution", "task=inpaint task/noise=gaussian"])
def test_a_picture_in_tiles(network, task, fit_tiny, tmp_path):
    picture = Images("large", torch.rand(1, 3, 48, 56, generator=torch.Generator().manual_seed(0)))
    overrides = task.split() if "=" in task else [f"task={task}"]
    restoration = fit_tiny(*overrides, "tile=32", "splits.tiles.overlap=8", f"splits/tiles={network}",
                           "iterations=10", "stopping=fixed", folder=tmp_path, picture=picture)
    assert restoration.image.shape == picture.pixels.shape and restoration.summary["status"] == "done"
    assert restoration.summary["psnr"] is not None and restoration.summary["psnr_peak"] is None
    assert (tmp_path / "parts" / "0003" / "image.npy").exists() == (network == "each")


def test_the_stored_part_is_not_fitted_again(fit_tiny, tmp_path):
    picture = Images("large", torch.rand(1, 3, 30, 40))
    overrides = ("tile=32", "splits.tiles.overlap=8", "iterations=10")
    first = fit_tiny(*overrides, folder=tmp_path, picture=picture)
    images = [tmp_path / "parts" / part / "image.npy" for part in ("0000", "0001")]
    images[1].write_bytes(b"torn")
    written = [image.stat().st_mtime_ns for image in images]
    again = fit_tiny(*overrides, folder=tmp_path, picture=picture)
    assert torch.equal(first.image, again.image)
    assert [image.stat().st_mtime_ns == time for image, time in zip(images, written, strict=True)] == [True, False]


def test_what_cannot_be_cut_is_refused(fit_tiny):
    picture = Images("large", torch.rand(1, 1, 40, 40))
    with pytest.raises(ValueError, match="measures the picture as a whole: leave tile null"):
        fit_tiny("task=mri", "tile=32", "splits.tiles.overlap=8", picture=picture)
    with pytest.raises(ValueError, match="^tile=16: give a whole number of at least 129$"):
        fit_tiny("tile=16", "splits.tiles.overlap=64", picture=picture)
