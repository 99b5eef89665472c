import logging
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from dip_lab.callbacks.preview import Preview
from dip_lab.png import to_uint8

GREY = torch.full((1, 3, 8, 8), 0.5)


def module(output=GREY, average=None):
    return SimpleNamespace(output=output, average=SimpleNamespace(image=average),
                           problem=SimpleNamespace(shown=lambda image: image))


def seen(folder):
    with Image.open(folder / "restoration.png") as picture:
        return picture.getpixel((0, 0))


def test_it_shows_the_average_and_waits(tmp_path):
    preview = Preview(seconds=3600)
    preview.folder = tmp_path
    preview.on_train_batch_end(None, module(average=GREY + 0.3), None, 1, 0)
    assert seen(tmp_path) == (204, 204, 204)
    preview.on_train_batch_end(None, module(), None, 2, 1)
    assert seen(tmp_path) == (204, 204, 204)


def test_without_an_average_it_shows_the_output_as_often_as_it_may(tmp_path):
    preview = Preview(seconds=0)
    preview.folder = tmp_path
    preview.on_train_batch_end(None, module(), None, 1, 0)
    assert seen(tmp_path) == (128, 128, 128)
    preview._due = 0.0
    preview.on_train_batch_end(None, module(output=GREY * 0), None, 2, 1)
    assert seen(tmp_path) == (0, 0, 0)


def test_without_a_folder_it_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Preview(seconds=0).on_train_batch_end(None, module(), None, 1, 0)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_does_not_end_the_fit(tmp_path, monkeypatch, caplog):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("dip_lab.callbacks.preview.write_atomic", full)
    preview = Preview(seconds=0)
    preview.folder = tmp_path
    preview.on_train_batch_end(None, module(), None, 1, 0)
    assert "No space left" in caplog.text


def test_at_the_end_it_holds_the_answer_and_the_first_line_named_it(fit_tiny, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        restoration = fit_tiny("iterations=8", "callbacks.preview.seconds=0", folder=tmp_path)
    assert f"watch it in {tmp_path / 'restoration.png'}" in caplog.text
    with Image.open(tmp_path / "restoration.png") as last, Image.open(tmp_path / f"{restoration.answer}.png") as answer:
        assert last.tobytes() == answer.tobytes()


@pytest.mark.parametrize("seconds", [-1, "soon"])
def test_wrong_seconds(seconds):
    with pytest.raises(ValueError, match=f"callbacks.preview.seconds={seconds}"):
        Preview(seconds)


class Breaks(pl.Callback):
    """Raises after iteration 17, as a custom operator may."""

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx):
        self.reached = module.output if module.average.image is None else module.average.image
        if iteration == 17:
            raise RuntimeError("the operator broke")


def test_a_fit_that_raises_leaves_the_picture_it_has_reached(fit_tiny, tmp_path):
    breaks = Breaks()
    with pytest.raises(RuntimeError, match="the operator broke"):
        fit_tiny("callbacks.preview.seconds=1000", folder=tmp_path, callbacks=[breaks])
    with Image.open(tmp_path / "restoration.png") as picture:
        assert np.array_equal(np.asarray(picture), to_uint8(breaks.reached.detach()))
