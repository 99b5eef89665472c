import numpy as np
import pytest
import torch
from skimage.data import shepp_logan_phantom

from dip_lab.build import build_problem, load_images
from dip_lab.compose import compose
from dip_lab.instantiate import instantiate


def load(*overrides):
    return instantiate(compose(list(overrides)).data).load()


@pytest.mark.parametrize("size", [16, 128, 400])
def test_the_phantom(size):
    picture = load("data=phantom", f"data.size={size}")
    assert picture.name == "shepp_logan" and picture.pixels.shape == (1, 1, size, size)
    assert picture.pixels.dtype == torch.float32
    assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1
    assert float(picture.pixels.mean()) == pytest.approx(shepp_logan_phantom().mean(), abs=0.002)
    if size == 128:
        assert picture.pixels[..., :1, :].max() == 0  # no ringing next to the head
    if size == 400:
        np.testing.assert_allclose(picture.pixels[0, 0].numpy(), shepp_logan_phantom(), atol=1e-6)


@pytest.mark.parametrize("override, message", [
    ("data.name=brain", r"data\.name=brain: choose"),
    ("data.size=401", r"data\.size=401: give a whole number from 8 to 400"),
    ("data.size=4", r"data\.size=4: give"),
])
def test_other_phantoms_are_refused(override, message):
    with pytest.raises(ValueError, match=message):
        load("data=phantom", override)


@pytest.mark.parametrize("array, planes", [
    (np.arange(12.0).reshape(3, 4) - 5, lambda a: a[None]),
    (np.arange(24, dtype=np.int16).reshape(2, 3, 4), lambda a: a),
    (np.asfortranarray(np.random.default_rng(0).normal(size=(3, 5)).astype(">f4")), lambda a: a[None]),
    (np.array([[1 + 2j, 3 - 4j]]), lambda a: np.stack((a.real, a.imag))),
    (np.arange(12).reshape(2, 3, 2) * (1 - 1j), lambda a: np.concatenate((a.real, a.imag))),
    (np.array([[60000]], dtype=np.float16), lambda a: a[None]),
])
def test_arrays(array, planes, tmp_path):
    np.save(tmp_path / "scan.npy", array)
    picture = load("data=array", f"data.path={tmp_path / 'scan.npy'}")
    assert picture.name == "scan" and picture.pixels.dtype == torch.float32
    np.testing.assert_allclose(picture.pixels[0].numpy(), planes(array).astype(np.float32), rtol=1e-6)
    scaled = load("data=array", f"data.path={tmp_path / 'scan.npy'}", "data.scale=1e5")
    assert torch.allclose(scaled.pixels, picture.pixels * 1e5)


@pytest.mark.parametrize("content, message", [
    (None, r"scan\.npy: no such file"),
    (b"", r"scan\.npy: not an array of numbers as numpy\.save writes it"),
    (b"P5 2 2 255 ....", r"not an array of numbers"),
    (np.array([{"a": 1}]), r"not an array of numbers"),
    (np.array(["a", "b"]), r"<U1 of shape \(2,\): give real or complex numbers"),
    (np.zeros(5), r"float64 of shape \(5,\): give real or complex numbers of shape \(h, w\) or \(channels, h, w\)"),
    (np.zeros((1, 2, 3, 4)), r"of shape \(1, 2, 3, 4\)"),
    (np.full((2, 2), np.nan), r"values are NaN, infinite or too large"),
    (np.full((2, 2), 1e300), r"values are NaN, infinite or too large"),
])
def test_other_files_are_refused(content, message, tmp_path):
    path = tmp_path / "scan.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(ValueError, match=message) as caught:
        load("data=array", f"data.path={path}")
    assert str(caught.value).startswith("data.path=") and "\n" not in str(caught.value)


@pytest.mark.parametrize("shape, task, remedy", [
    ((16, 12, 2), ["task=mri", "task.given=true"], r"moveaxis\(array, -1, 0\)"),
    ((16, 12, 1), ["task=mri", "task/sampling=observed", "task.given=true"], r"moveaxis\(array, -1, 0\)"),
    ((16, 12, 3), [], r"16 channels of 3 x 12 px.*moveaxis\(array, -1, 0\)"),
    ((16, 12, 3), ["task=inpaint"], r"moveaxis\(array, -1, 0\)"),
    ((16, 3, 12), ["task.given=true"], r"moveaxis\(array, 1, 0\)"),
    ((16, 12, 3), ["task=ct", "task.given=true"], r"moveaxis\(array, -1, 0\)"),
    ((3, 5), [], "give a larger one"),
    ((5, 16, 16), ["task=jpeg"], "has 5 channels, but a JPEG is grey or RGB"),
    ((2, 16, 16), ["task=demosaic"], "has 2 channels: give a colour picture"),
    ((4, 16, 16), ["task=colorize"], "has 4 channels: give the colour picture"),
])
def test_shapes_that_a_task_cannot_take_are_refused(shape, task, remedy, tmp_path):
    np.save(tmp_path / "scan.npy", np.random.default_rng(0).normal(size=shape))
    cfg = compose(["data=array", f"data.path={tmp_path / 'scan.npy'}", *task])
    with pytest.raises(ValueError, match=rf"scan.*{remedy}"):
        build_problem(cfg.task, load_images(cfg.data), 0)


def test_too_large_is_refused_before_it_is_read(tmp_path):
    np.lib.format.open_memmap(tmp_path / "scan.npy", mode="w+", dtype=np.float32, shape=(9000, 9000)).flush()  # sparse
    with pytest.raises(ValueError, match="81,000,000 values: give at most 64,000,000"):
        load("data=array", f"data.path={tmp_path / 'scan.npy'}")


def test_the_scale_must_be_positive(tmp_path):
    np.save(tmp_path / "scan.npy", np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"data\.scale=0: give a number above 0"):
        load("data=array", f"data.path={tmp_path / 'scan.npy'}", "data.scale=0")
