"""A part whose array is damaged is fitted again, and the whole comes out the same."""

import pytest
from outcomes import difference, lines_about
from test_resume import noise


@pytest.mark.parametrize("array", ["image.npy", "deviation.npy"])
def test_a_damaged_part_is_fitted_again(array, fit_tiny, without_plots, tmp_path, caplog):
    sampler = ("optimizer=sgld", "average.burn_in=0", "average.every=1") if array == "deviation.npy" else ()
    tiny = ("iterations=2", "stopping=fixed", "tile=20", "splits.tiles.overlap=6", "log_every_image=500", *sampler)
    for name in ("alone", "again"):
        fit_tiny(*tiny, folder=tmp_path / name, picture=noise(size=24))
    path = tmp_path / "again" / "parts" / "0001" / array
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    path.write_bytes(damaged)
    (tmp_path / "again" / "result.json").unlink()
    fit_tiny(*tiny, folder=tmp_path / "again", picture=noise(size=24))
    (said,) = lines_about(caplog, array)
    assert str(path) in said and said.endswith("this part is fitted again")
    assert path.read_bytes() == content and not difference(tmp_path / "again", tmp_path / "alone")
