import io
import math

import pytest
import torch
from PIL import Image

from dip_lab.results.figures import curves_figure, panel_figure
from dip_lab.results.history import History
from dip_lab.results.png import figure_png


def history(target=True, loss=0.5):
    history = History(["iteration", "loss", "psnr", "psnr_average"], None)
    for iteration in (1, 10, 20, 30):
        psnr = 20 + iteration / 10 if target else math.nan
        history.append({"iteration": iteration, "loss": loss / iteration, "psnr": psnr, "psnr_average": psnr - 1})
    return history


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_mark_the_chosen_iteration_and_the_peak():
    figure = curves_figure(history(), "a title", 20, 30, {"emv": 15})
    assert legend(figure) == ["loss", "PSNR of the output", "PSNR of the average", "chosen: 20",
                              "peak (needs the target): 30"]
    left, right = figure.axes
    assert left.get_yscale() == "log" and right.get_yscale() == "linear"
    assert {20, 30} <= {float(line.get_xdata()[0]) for line in left.get_lines() if len(line.get_xdata()) == 2}


def test_without_a_target_there_is_one_axis():
    figure = curves_figure(history(target=False), "a title", 20, None, {})
    assert legend(figure) == ["loss", "chosen: 20"]
    assert len(figure.axes) == 1


@pytest.mark.parametrize("loss", [0.5, 0.0, math.nan])
def test_curves_are_a_png(loss):
    figure = curves_figure(history(loss=loss), "t · 25 % <x> $y", 20, 30, {})
    image = Image.open(io.BytesIO(figure_png(figure, dpi=50)))
    image.load()
    assert image.format == "PNG" and image.width == 50 * figure.get_figwidth()


def test_curves_of_nothing_yet():
    assert figure_png(curves_figure(History(["iteration", "loss"], None), "t", None, None, {})).startswith(b"\x89PNG")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_panel_shows_every_picture(channels):
    pictures = [(f"caption {i}", torch.rand(1, channels if i else 1, 8, 12)) for i in range(4)]
    figure = panel_figure(pictures)
    assert [axis.get_title() for axis in figure.axes] == [f"caption {i}" for i in range(4)]
    assert all(len(axis.images) == 1 for axis in figure.axes)
    image = Image.open(io.BytesIO(figure_png(figure)))
    image.load()
    assert image.width > 3 * image.height


def test_maps_of_the_panel_share_one_scale_with_a_bar():
    maps = [("std", torch.full((1, 1, 8, 12), 3 / 255)), ("error", torch.full((1, 1, 8, 12), 30 / 255))]
    figure = panel_figure([("picture", torch.rand(1, 3, 8, 12))], maps, 16)
    *axes, bar = figure.axes
    assert [axis.get_title() for axis in axes] == ["picture", "std", "error"]
    assert [axis.images[0].get_clim() for axis in axes[1:]] == [(0, 16)] * 2 and bar.get_ylabel() == "of 255"
    assert float(axes[1].images[0].get_array().mean()) == pytest.approx(3)
    assert figure_png(figure).startswith(b"\x89PNG")


def test_letters_that_the_font_lacks_are_no_warning():
    assert figure_png(curves_figure(history(), "猫", 20, 30, {})).startswith(b"\x89PNG")
