import pytest
import torch

from dip_lab.images import Picture
from dip_lab.parts import blended, parts_of, windows

pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.mark.parametrize("length, size, overlap, unit", [
    (100, 32, 8, 1), (101, 32, 8, 4), (7, 3, 1, 1), (33, 32, 16, 1), (40, 13, 2, 4), (2048, 512, 64, 1),
])
def test_windows_cover_and_overlap(length, size, overlap, unit):
    found = windows(length, size, overlap, unit)
    assert found[0].start == 0 and found[-1].stop == length
    assert all(window.start % unit == 0 and window.stop - window.start <= size + unit for window in found)
    reach = overlap - 2 * (unit - 1)
    assert all(a.stop - b.start >= reach for a, b in zip(found, found[1:], strict=False))
    if length % unit == 0 and unit == 1:
        assert len({window.stop - window.start for window in found}) == 1


def test_one_window_where_it_fits():
    assert windows(30, 32, 8) == [slice(0, 30)] and windows(30, None, 8) == [slice(0, 30)]


@pytest.mark.parametrize("shape, chunk, tile, overlap", [((1, 3, 50, 61), 32, 20, 6), ((7, 1, 20, 20), 3, None, 4),
                                                         ((5, 2, 30, 20), 2, 16, 0)])
def test_parts_of_a_picture_blend_to_the_picture(shape, chunk, tile, overlap):
    image = torch.rand(shape)
    parts = parts_of(shape, chunk, 1, tile, overlap, 1)
    images = [image[part.frames, :, part.rows, part.columns] for part in parts]
    assert len(parts) > 2 and torch.allclose(blended(parts, images, shape), image, atol=1e-6)


def test_the_blend_has_no_step():
    parts = parts_of((1, 1, 8, 60), 1, 0, 40, 20, 1)
    levels = [torch.full((1, 1, 8, 40), float(i)) for i in range(len(parts))]
    row = blended(parts, levels, (1, 1, 8, 60))[0, 0, 0]
    assert len(parts) == 2 and float(row[0]) == 0 and float(row[-1]) == 1
    assert float(row.diff().max()) < 0.06


@pytest.mark.parametrize("network", ["each", "one"])
@pytest.mark.parametrize("task", ["denoise", "inpaint", "super_resolution", "task=inpaint task/noise=gaussian"])
def test_a_picture_in_tiles(network, task, fit_tiny, tmp_path):
    picture = Picture("large", torch.rand(1, 3, 48, 56, generator=torch.Generator().manual_seed(0)))
    overrides = task.split() if "=" in task else [f"task={task}"]
    restoration = fit_tiny(*overrides, "tile=32", "tiling.overlap=8", f"tiling.network={network}", "iterations=10",
                           "stopping=fixed", folder=tmp_path, picture=picture)
    assert restoration.image.shape == picture.pixels.shape and restoration.summary["status"] == "done"
    assert restoration.summary["psnr"] is not None and restoration.summary["psnr_peak"] is None
    assert (tmp_path / "parts" / "0003" / "image.npy").exists() == (network == "each")


def test_the_stored_part_is_not_fitted_again(fit_tiny, tmp_path):
    picture = Picture("large", torch.rand(1, 3, 30, 40))
    overrides = ("tile=32", "tiling.overlap=8", "iterations=10")
    first = fit_tiny(*overrides, folder=tmp_path, picture=picture)
    (tmp_path / "parts" / "0001" / "image.npy").write_bytes(b"torn")
    again = fit_tiny(*overrides, folder=tmp_path, picture=picture)
    assert torch.equal(first.image, again.image)
    assert [part["seconds"] == old["seconds"] for part, old in
            zip(again.summary["parts"], first.summary["parts"], strict=True)] == [True, False]


def test_what_cannot_be_cut_is_refused(fit_tiny):
    picture = Picture("large", torch.rand(1, 1, 40, 40))
    with pytest.raises(ValueError, match="measures the picture as a whole: leave tile null"):
        fit_tiny("task=mri", "tile=32", "tiling.overlap=8", picture=picture)
    with pytest.raises(ValueError, match="^tile=16: give a whole number of at least 129$"):
        fit_tiny("tile=16", "tiling.overlap=64", picture=picture)
    with pytest.raises(ValueError, match="^tiling.network=two: choose each or one$"):
        fit_tiny("tiling.network=two", picture=picture)
