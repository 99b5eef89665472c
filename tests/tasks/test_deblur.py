import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from PIL import Image

from dip_lab.data.images import Images
from dip_lab.tasks.deblur import Blur, Circular
from dip_lab.tasks.denoise import Identity
from dip_lab.tasks.psf import Box, File, Gaussian, Motion
from dip_lab.tasks.views import Clamped

SCIPY = {"circular": "wrap", "reflect": "mirror", "replicate": "nearest", "zero": "constant"}


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def kernel_file(tmp_path):
    """`kernel_file(h, w)`: the path of a lopsided kernel."""

    def write(height, width):
        path = tmp_path / f"{height}x{width}.npy"
        np.save(path, np.random.default_rng(0).random((height, width)))
        return str(path)

    return write


@pytest.mark.parametrize("kernel", [(5, 7), (4, 6), (1, 8), (3, 2), (11, 9)])
@pytest.mark.parametrize("border", SCIPY)
def test_as_scipy_convolves(border, kernel, kernel_file):
    operator, x = Blur(File(kernel_file(*kernel)), border), drawn(2, 3, 17, 23)
    # SciPy's centre of a kernel of n values is n // 2 too
    expected = [[scipy.ndimage.convolve(plane, operator.kernel.numpy(), mode=SCIPY[border]) for plane in image]
                for image in x.numpy()]
    y = operator(x)
    assert y.dtype == torch.float64 and torch.allclose(y, torch.from_numpy(np.array(expected)), atol=1e-12)


def test_zero_border_as_scipy_signal():
    x, psf = drawn(1, 1, 17, 23), Motion(length=7, angle=30)
    expected = scipy.signal.convolve2d(x[0, 0].numpy(), psf.kernel().numpy(), mode="same")
    assert torch.allclose(Blur(psf, "zero")(x)[0, 0], torch.from_numpy(expected), atol=1e-12)


def test_a_point_leaves_the_kernel(kernel_file):
    operator, x = Blur(File(kernel_file(4, 5)), "replicate"), torch.zeros(1, 1, 20, 20)
    x[..., 10, 10] = 1
    assert torch.allclose(operator(x)[0, 0, 8:12, 8:13], operator.kernel.float(), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 17, 23), (2, 1, 16, 32)])
@pytest.mark.parametrize("border", SCIPY)
def test_adjoint(border, shape, kernel_file):
    operator, x, u = Blur(File(kernel_file(6, 9)), border), drawn(*shape), drawn(*shape, seed=1)
    assert operator.adjoint(u).shape == x.shape
    assert torch.allclose((operator(x) * u).sum(), (x * operator.adjoint(u)).sum(), rtol=1e-10, atol=1e-10)


def test_adjoint_of_a_periodic_blur_is_the_flipped_kernel(kernel_file):
    operator, u = Blur(File(kernel_file(5, 7)), "circular"), drawn(1, 1, 17, 23)
    flipped = scipy.ndimage.convolve(u[0, 0].numpy(), operator.kernel.numpy()[::-1, ::-1], mode="wrap")
    assert torch.allclose(operator.adjoint(u)[0, 0], torch.from_numpy(flipped), atol=1e-12)


@pytest.mark.parametrize("border", ["circular", "reflect", "replicate"])
def test_constant_stays_constant_and_float32_stays(border):
    operator = Blur(Gaussian(size=25, sigma=1.6), border)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = operator(torch.full((1, 2, 19, 26), 0.3, dtype=torch.bfloat16))
    assert y.dtype == torch.float32 and torch.allclose(y, torch.tensor(0.3), atol=1e-3)
    assert operator(torch.zeros(1, 1, 30, 40)).shape == (1, 1, 30, 40), "another size of the same operator"
    assert not operator.state_dict()


def test_a_kernel_larger_than_the_picture():
    x = drawn(1, 1, 9, 11)
    wide = Box(size=23)
    expected = scipy.ndimage.convolve(x[0, 0].numpy(), wide.kernel().numpy(), mode="nearest")
    assert torch.allclose(Blur(wide, "replicate")(x)[0, 0], torch.from_numpy(expected), atol=1e-12)
    expected = scipy.ndimage.convolve(x[0, 0].numpy(), wide.kernel().numpy(), mode="wrap")
    assert torch.allclose(Blur(wide, "circular")(x)[0, 0], torch.from_numpy(expected), atol=1e-12)
    with pytest.raises(ValueError, match=r"task\.border=reflect: a picture of 9 px .* try task\.border=replicate"):
        Blur(wide, "reflect")(x)


def test_windows_are_blurred_by_themselves(picture):
    operator, x = Blur(Box(size=5), "replicate"), picture(24, 32).pixels
    part, rows, columns = operator.window(slice(8, 24), slice(0, 20))
    inside = part(x[..., 8:24, 0:20])[..., 2:, :-2]
    assert (rows, columns) == (slice(8, 24), slice(0, 20))
    assert torch.allclose(inside, operator(x)[..., 10:24, 0:18], atol=1e-6)


def test_circular_observation(picture):
    x = picture(17, 23).pixels
    y = Circular()(x.requires_grad_(), Blur(Box(size=5), "replicate"))
    assert not y.requires_grad and torch.equal(y, Blur(Box(size=5), "circular")(x.detach()))
    with pytest.raises(ValueError, match="works for task=deblur only"):
        Circular()(x, Identity())


def test_gaussian_is_separable_and_of_its_width():
    kernel = Gaussian(size=25, sigma=1.6).kernel()
    point = np.zeros((25, 25))
    point[12, 12] = 1
    expected = scipy.ndimage.gaussian_filter(point, 1.6, radius=12)
    assert kernel.dtype == torch.float64 and np.allclose(kernel, expected, atol=1e-15)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-14)


def test_box_is_the_mean():
    assert torch.equal(Box(size=9).kernel(), torch.full((9, 9), 1 / 81, dtype=torch.float64))


@pytest.mark.parametrize("angle", [0, 90, 180, -90, 360])
def test_motion_along_an_axis_has_equal_weights(angle):
    kernel = Motion(length=9, angle=angle).kernel()
    assert kernel.shape == ((1, 9) if angle % 180 == 0 else (9, 1))
    assert torch.allclose(kernel, torch.tensor(1 / 9, dtype=torch.float64))


@pytest.mark.parametrize(("length", "angle"), [(15, 30), (7.5, 120), (21, -75)])
def test_motion_lies_along_its_angle(length, angle):
    kernel = Motion(length=length, angle=angle).kernel()
    height, width = kernel.shape
    assert height % 2 and width % 2 and torch.allclose(kernel, kernel.flip((0, 1)))
    up, right = torch.meshgrid(height // 2 - torch.arange(height), torch.arange(width) - width // 2, indexing="ij")
    xx, yy, xy = ((kernel * term).sum().item() for term in (right * right, up * up, up * right))
    direction = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy))
    assert (direction - angle + 90) % 180 - 90 == pytest.approx(0, abs=1.5)
    along = xx * np.cos(np.radians(angle)) ** 2 + yy * np.sin(np.radians(angle)) ** 2
    along += 2 * xy * np.cos(np.radians(angle)) * np.sin(np.radians(angle))
    assert along == pytest.approx(length**2 / 12, rel=0.15)  # the variance of a line of this length


def test_motion_of_one_pixel():
    assert torch.equal(Motion(length=1, angle=33).kernel(), torch.ones(1, 1, dtype=torch.float64))


def test_kernels_from_files(tmp_path):
    Image.radial_gradient("L").resize((10, 8)).convert("RGB").save(tmp_path / "kernel.png")
    grey = np.asarray(Image.open(tmp_path / "kernel.png"), dtype=float)[..., 0]
    assert np.allclose(File(str(tmp_path / "kernel.png")).kernel(), grey / grey.sum())
    np.save(tmp_path / "small.npy", np.array([[0, 3], [1, 0]], dtype=np.uint8))
    assert torch.equal(File(str(tmp_path / "small.npy")).kernel(), torch.tensor([[0, 0.75], [0.25, 0]]).double())


def test_files_that_are_no_kernel(tmp_path):
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "line.npy", np.ones(5))
    np.save(tmp_path / "zero.npy", np.zeros((5, 5)))
    np.save(tmp_path / "nan.npy", np.full((5, 5), np.nan))
    np.save(tmp_path / "complex.npy", np.ones((5, 5), complex))
    for name, message in {"text": "cannot be read", "line": r"shape \(5,\)", "zero": "the sum 0", "nan": "the sum nan",
                          "complex": "complex128", "none": "No such file"}.items():
        with pytest.raises(ValueError, match=rf"task\.psf\.path=.*{name}.npy.*{message}") as error:
            File(str(tmp_path / f"{name}.npy")).kernel()
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no such file"):
        File(str(tmp_path / "none.png")).kernel()
    with pytest.raises(ValueError, match=r"task\.psf\.path is empty"):
        Blur(File(None), "zero")


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Blur(Box(size=3), "mirror"), r"task\.border=mirror: choose circular, reflect, replicate or zero"),
    (lambda: Box(size=0), r"task\.psf\.size=0: give a whole number of at least 1"),
    (lambda: Gaussian(size=2.5, sigma=1), r"task\.psf\.size=2\.5: give a whole number"),
    (lambda: Gaussian(size=5, sigma=0), r"task\.psf\.sigma=0: give a number above 0"),
    (lambda: Motion(length=0.5, angle=0), r"task\.psf\.length=0\.5: give a number at least 1"),
    (lambda: Motion(length=5, angle="up"), r"task\.psf\.angle=up: give a number"),
])
def test_other_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_shown_observation_is_in_range():
    operator = Blur(Box(size=3), "zero")
    operator.prepare(Images("x", torch.rand(1, 1, 8, 8)), seed=0, given=False)
    assert Clamped().observed(torch.tensor([[[[-0.1, 1.1]]]]), operator).tolist() == [[[[0, 1]]]]


def test_a_given_picture_is_blurred_already():
    pixels = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Blur(Gaussian(size=5, sigma=1.0), "replicate").given(pixels), pixels)


def test_an_array_that_claims_more_than_it_holds(tmp_path):
    with open(tmp_path / "claim.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    with pytest.raises(ValueError, match=r"claim\.npy cannot be read .*save it with numpy\.save"):
        File(str(tmp_path / "claim.npy")).kernel()
