import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn
from skimage import data

from dip_lab.data.images import read_picture
from dip_lab.metrics import psnr
from dip_lab.png import to_uint8
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.jpeg import SAMPLING, Blockwise, Compressed, Jpeg, QuantisationIntervals, Recompressed, compression
from dip_lab.tasks.kernels import Box
from dip_lab.tasks.super_resolution import Downsample

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = [(quality, sampling) for quality in (10, 50, 90) for sampling in SAMPLING]


def face(height, width, channels=3):
    """A piece of a photograph, whose blocks are not cut off at black or white."""
    pixels = data.astronaut()[60 : 60 + height, 180 : 180 + width, :channels] * 0.8 + 20
    return torch.from_numpy(pixels.round()).permute(2, 0, 1)[None].float().div(255).contiguous()


def stored(image, **options):
    file = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(file, "JPEG", **options)
    return file


@pytest.mark.parametrize(("quality", "sampling"), SETTINGS)
def test_the_observation_is_pillows(quality, sampling):
    x = face(33, 47)
    decoded = np.asarray(Image.open(stored(x, quality=quality, subsampling=sampling)))
    y = Compressed(quality, sampling, None)(x, Identity())
    assert y.dtype == torch.float32 and np.array_equal(to_uint8(y), decoded)


def test_pillows_default_is_ours_and_frames_are_compressed_one_by_one():
    x = torch.cat([face(24, 32), face(24, 32).flip(-1)])
    y = Compressed(10, "4:2:0", None)(x, Identity())
    for frame, seen in zip(x, y, strict=True):
        assert np.array_equal(to_uint8(seen[None]), np.asarray(Image.open(stored(frame[None], quality=10))))


def test_what_the_operator_makes_is_compressed():
    x, smaller = face(48, 64), Downsample(2, Box(border="renormalise"))
    y = Compressed(10, "4:2:0", None)(x, smaller)
    assert torch.equal(y, Compressed(10, "4:2:0", None)(smaller(x), Identity()))


def test_tables_are_the_standard_s_row_by_row():
    steps = compression(50, "4:2:0", None).steps
    assert steps[0, 0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]  # ITU T.81, table K.1: quality 50 is unscaled
    assert steps[0, :, 0].tolist() == [16, 12, 14, 14, 18, 24, 49, 72]
    assert steps[1, 0].tolist() == [17, 18, 24, 47, 99, 99, 99, 99]  # table K.2
    assert compression(10, "4:2:0", None).steps[0, 0, :3].tolist() == [80, 55, 50]


def test_tables_and_sampling_of_a_file(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(stored(face(24, 32), quality=35, subsampling="4:2:2").getvalue())
    found, wanted = compression(10, "4:2:0", str(path)), compression(35, "4:2:2", None)
    assert found.sampling == 1 and torch.equal(found.steps, wanted.steps)
    path.write_bytes(stored(face(24, 32)[:, :1], quality=35).getvalue())
    grey = compression(10, "4:2:0", str(path))
    assert grey.sampling == 0 and torch.equal(grey.steps[0], wanted.steps[0])


@pytest.mark.parametrize("size", [(40, 56), (33, 47)])
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_the_chain_is_pillows_for_grey(quality, size):
    x = face(*size)[:, 1:2]
    apart = 255 * (Jpeg(compression(quality, "4:2:0", None))(x) - Compressed(quality, "4:2:0", None)(x, Identity()))
    # libjpeg's DCT is in whole numbers, so a coefficient near the middle of two multiples may go to the other
    assert apart.abs().mean() < 0.5 and (apart.abs() > 2).float().mean() < 0.05


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("quality", "sampling"), SETTINGS)
def test_the_decoder_is_pillows(quality, sampling, channels):
    jpeg = Jpeg(compression(quality, sampling, None))
    for height, width in ((48, 64), (33, 47)):
        y = Compressed(quality, sampling, None)(face(height, width, channels), Identity())
        apart = 255 * (jpeg.decoded(jpeg.stored(y), (height, width)) - y).abs()
        # half a level in each of Y, Cb and Cr and in the last rounding, by the weights of the colours
        assert apart[..., : height // 16 * 16 - 1, : width // 16 * 16 - 1].max() < (1.1 if channels == 1 else 2.5)
        assert apart.mean() < 0.75  # blocks cut by the edge also differ little


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
@pytest.mark.parametrize(("quality", "sampling"), SETTINGS)
def test_the_chain_is_pillows_for_colour(quality, sampling, size):
    x = face(*size)
    made, decoded = Jpeg(compression(quality, sampling, None))(x), Compressed(quality, sampling, None)(x, Identity())
    # Pillow rounds Y, Cb and Cr to whole levels before and after, which moves some coefficients to the next multiple
    assert (made - decoded).abs().mean() * 255 < 1.5
    assert psnr(made, decoded) > psnr(x, decoded) + 6


def test_coefficients_are_scipys(picture):
    plane = picture(24, 16, 1).pixels.double()
    blocks = Jpeg(compression(50, "4:4:4", None)).coefficients(plane)
    assert blocks.shape == (1, 3, 2, 8, 8)
    for row in range(3):
        for column in range(2):
            block = plane[0, 0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].numpy()
            assert np.allclose(blocks[0, row, column], dctn(block, norm="ortho"), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_without_loss_nothing_changes(channels):
    x = face(32, 48, channels)
    jpeg = Jpeg(compression(100, "4:4:4", None))
    assert jpeg.steps.max() == 1 and (jpeg(x) - x).abs().max() * 255 < 2.5


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("quality", "sampling"), SETTINGS)
def test_intervals_hold_the_original_and_the_observation(quality, sampling, channels, size):
    x = face(*size, channels)
    y, misfit = Compressed(quality, sampling, None)(x, Identity()), QuantisationIntervals(quality, sampling, None)
    apart = (x - y).square().mean()
    assert misfit(x, y, None) < 0.005 * apart
    assert misfit(y, y, None) < 0.005 * apart
    assert misfit(x.flip(-1), y, None) > 0.5 * apart


def test_the_file_s_numbers_are_found_again():
    x = face(48, 64)
    jpeg, y = Jpeg(compression(20, "4:2:0", None)), Compressed(20, "4:2:0", None)(x, Identity())
    for (plane, steps, _), found in zip(jpeg.planes(x), jpeg.stored(y), strict=True):
        wanted = (jpeg.coefficients(plane) / steps).round()
        assert found.shape == wanted.shape and (found == wanted).float().mean() > 0.998


def test_interval_misfit_by_hand():
    steps = compression(50, "4:4:4", None).steps[0]
    y = torch.full((1, 1, 8, 8), 128 / 255)  # all coefficients are 0
    offset = torch.tensor(13 / 255)  # DC of 8 * 13 = 104 levels, 96 beyond the half step of 8
    misfit = QuantisationIntervals(50, "4:4:4", None)
    assert steps[0, 0] == 16
    assert misfit(y + 1 / 255, y, None).item() == 0
    assert misfit(y + offset, y, None).item() == pytest.approx((96 / 255) ** 2 / 64, rel=1e-4)


@pytest.mark.parametrize("sampling", SAMPLING)
def test_gradients(sampling):
    x, y = face(17, 23), Compressed(30, sampling, None)(face(17, 23), Identity())
    for misfit in (Recompressed("all", 30, sampling, None), QuantisationIntervals(30, sampling, None)):
        image = (0.9 * x).requires_grad_()
        loss = misfit(image, y, None)
        (gradient,) = torch.autograd.grad(loss, image)
        assert loss.dtype == torch.float32 and gradient.isfinite().all() and gradient.abs().max() > 0
        with torch.no_grad():
            for step in (30, 100):
                assert misfit(image - step * gradient, y, None) < loss


def test_the_rounding_has_the_gradient_one():
    x = face(24, 32)[:, :1].requires_grad_()
    jpeg = Jpeg(compression(10, "4:4:4", None))
    u = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(jpeg(x), x, u)
    assert torch.allclose(gradient, u, atol=1e-4)


def test_recompressed_counts_and_compares(picture):
    x, y = face(24, 32), Compressed(10, "4:2:0", None)(face(24, 32), Identity())
    misfit = Recompressed("counted", 10, "4:2:0", None)
    square = (Jpeg(compression(10, "4:2:0", None))(x) - y).square()
    counted = (picture(24, 32, 1).pixels > 0.5).float()
    assert misfit(x, y, None).item() == pytest.approx(square.mean().item())
    assert misfit(x, y, counted).item() == pytest.approx((square * counted).sum().item() / counted.sum().item() / 3)
    assert misfit(x, y, None) < 0.1 * (x - y).square().mean()
    with pytest.raises(ValueError, match="jpeg_interval looks at whole blocks .* choose stopping=wmv or fixed"):
        QuantisationIntervals(10, "4:2:0", None)(x, y, counted)


def test_the_same_under_autocast_and_in_batches():
    x, y = face(17, 23), Compressed(10, "4:2:0", None)(face(17, 23), Identity())
    for misfit in (Recompressed("all", 10, "4:2:0", None), QuantisationIntervals(10, "4:2:0", None)):
        expected = misfit(x.flip(-1), y, None)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(misfit(x.flip(-1), y, None), expected)
        twice = misfit(x.flip(-1).repeat(2, 1, 1, 1), y.repeat(2, 1, 1, 1), None)
        assert torch.allclose(twice, expected, rtol=1e-5)
        assert not misfit.state_dict()


def test_windows_begin_with_blocks():
    operator = Blockwise()
    assert isinstance(operator, Identity) and operator.unit == 16
    x = face(64, 64)
    y, misfit = Compressed(10, "4:2:0", None)(x, Identity()), QuantisationIntervals(10, "4:2:0", None)
    _, rows, columns = operator.window(slice(16, 48), slice(0, 32))
    assert misfit(x[..., rows, columns], y[..., rows, columns], None) < 0.02 * (x - y).square().mean()


def test_given_photos_keep_their_tables(tmp_path):
    path, x = tmp_path / "photo.jpg", face(48, 64)
    path.write_bytes(stored(x, quality=20).getvalue())
    misfit = QuantisationIntervals(90, "4:4:4", str(path))
    y = read_picture(path).pixels
    assert misfit(x, y, None) < 0.005 * (x - y).square().mean()


def test_what_is_refused(tmp_path):
    for quality in (0, 101, 9.5, True):
        with pytest.raises(ValueError, match=rf"task\.quality={quality}: give a whole number"):
            compression(quality, "4:2:0", None)
    with pytest.raises(ValueError, match=r"task\.sampling=4:1:1: choose 4:4:4, 4:2:2 or 4:2:0"):
        compression(10, "4:1:1", None)
    Image.new("RGB", (16, 16)).save(tmp_path / "photo.png")
    for name, message in {"photo.png": "cannot be read as a JPEG", "none.jpg": "No such file"}.items():
        with pytest.raises(ValueError, match=rf"task\.tables=.*{name}.*{message}"):
            compression(10, "4:2:0", str(tmp_path / name))
