import csv
import io
import math

import av
import numpy as np
import pytest
import torch
from scipy import ndimage

from dip_lab.data.clips import read_clip
from dip_lab.data.images import read_picture
from dip_lab.results.clip import (
    STRIP,
    as_csv,
    frame_rows,
    side_by_side,
    temporal_error,
    temporal_errors,
    warping_error,
    write_frames,
    write_mp4,
)

ALL = slice(0, None, 1)


def moving(frames, channels=3, height=48, width=56, step=2):
    """A smooth clip in [0, 1]: a texture that moves to the right, with even smoother colours."""
    noise = np.random.default_rng(0).normal(size=(1 + channels, height, width))
    smooth = 3 * ndimage.gaussian_filter(noise[:1], (0, 3, 3), mode="wrap")
    smooth = smooth + 8 * ndimage.gaussian_filter(noise[1:], (0, 10, 10), mode="wrap")
    texture = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.stack([torch.from_numpy(np.roll(texture, step * t, 2)).float() for t in range(frames)])


def psnr(a, b):
    return -10 * math.log10(float((a - b).square().mean()))


# Figures


def test_temporal_error_is_that_of_numpy():
    clip, target = torch.rand(2, 5, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    expected = np.abs(np.diff(clip.double().numpy(), axis=0) - np.diff(target.double().numpy(), axis=0))
    assert temporal_error(clip, target) == pytest.approx(expected.mean(), rel=1e-5)
    assert temporal_errors(clip, target) == pytest.approx(expected.mean((1, 2, 3)), rel=1e-5)
    assert temporal_error(target, target) == 0
    assert temporal_error(target * 0.5 + 0.25, target * 0.5) == pytest.approx(0, abs=1e-6)  # steady, if wrong


def test_warping_error_follows_the_motion_and_sees_flicker():
    target = moving(4)
    still = warping_error(target, target)
    assert len(still) == 3 and max(still) < 0.02
    flicker = 0.1 * torch.tensor([0.0, 1, 1, 0]).reshape(4, 1, 1, 1)
    errors = warping_error(0.5 * target + flicker, target)
    assert errors[0] == pytest.approx(0.1, rel=0.05) == errors[2] and errors[1] < 0.02
    assert min(warping_error(target[:1].expand(4, -1, -1, -1), target)) > 3 * max(still)  # nothing moves: not steady
    assert max(warping_error(target, target.mean(1, keepdim=True))) < 0.02  # a grey reference


def test_warping_error_without_a_pixel_that_counts(monkeypatch):
    monkeypatch.setattr("dip_lab.flow.visible", lambda forward, backward: torch.zeros_like(forward[:, :1]))
    assert all(math.isnan(error) for error in warping_error(moving(2), moving(2)))


def test_rows_and_csv():
    scores = [{"psnr": 30.0, "ssim": 0.9}, {"psnr": math.inf, "ssim": 1.0}, {"psnr": 20.5, "ssim": 0.5}]
    rows = frame_rows(scores, [0.01, 0.02], [0.03, math.nan])
    assert rows[0] == {"frame": 1, "psnr": 30.0, "ssim": 0.9}
    assert rows[1] == {"frame": 2, "psnr": math.inf, "ssim": 1.0, "temporal_error": 0.01, "warping_error": 0.03}
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert list(read[0]) == ["frame", "psnr", "ssim", "temporal_error", "warping_error"]
    assert read[0]["warping_error"] == "" == read[1]["psnr"] == read[2]["warping_error"]
    assert [row["frame"] for row in read] == ["1", "2", "3"] and float(read[2]["temporal_error"]) == 0.02
    assert frame_rows([], [], [0.5]) == [{"frame": 1}, {"frame": 2, "warping_error": 0.5}]


# Files


@pytest.mark.parametrize("channels", [1, 3])
def test_frames(tmp_path, channels):
    clip = moving(3, channels)
    write_frames(tmp_path / "frames", clip)
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["00001.png", "00002.png", "00003.png"]
    second = read_picture(tmp_path / "frames" / "00002.png").pixels[0]
    assert second.shape[0] == channels and torch.equal(second, (clip[1] * 255).round() / 255)


@pytest.mark.parametrize("channels, height, width", [(3, 48, 56), (1, 48, 56), (3, 47, 55)])
def test_an_mp4_reads_back(tmp_path, channels, height, width):
    clip, path = moving(7, channels, height, width), tmp_path / "clips" / "clip.mp4"
    write_mp4(path, clip, 12.5)
    back = read_clip(path, ALL).pixels
    assert back.shape == (7, 3, 48, 56)
    assert psnr(back[..., :height, :width], clip.expand(-1, 3, -1, -1)) > 35
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == 12.5
    assert [entry.name for entry in path.parent.iterdir()] == ["clip.mp4"]


def test_an_odd_side_repeats_its_last_row(tmp_path):
    clip = moving(2, 3, 47, 55)
    write_mp4(tmp_path / "clip.mp4", clip, 25)
    back = read_clip(tmp_path / "clip.mp4", ALL).pixels
    assert (back[:, :, 47, :55] - clip[:, :, 46]).abs().mean() < 0.03


def test_the_writer_takes_frames_one_by_one_and_leaves_nothing_half_written(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"the old one")

    def frames():
        yield from moving(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mp4(tmp_path / "clip.mp4", frames(), 25)
    with pytest.raises(ValueError, match="there is no frame"):
        write_mp4(tmp_path / "clip.mp4", [], 25)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_bytes() == b"the old one"
    write_mp4(tmp_path / "clip.mp4", iter(moving(3)), 25)
    assert len(read_clip(tmp_path / "clip.mp4", ALL).pixels) == 3


def test_side_by_side(tmp_path):
    left, right = moving(3, 1), moving(3, 3)
    pages = list(side_by_side({"observed": left, "restored": right}))
    assert len(pages) == 3 and pages[0].dtype == np.uint8 and pages[0].shape == (48 + STRIP, 2 * 56 + 4, 3)
    expected = (left[1, 0] * 255).round().numpy()
    assert all(np.array_equal(pages[1][STRIP:, :56, channel], expected) for channel in range(3))
    assert np.array_equal(pages[1][STRIP:, 60:], (right[1] * 255).round().permute(1, 2, 0).numpy())
    assert (pages[1][STRIP:, 56:60] == 255).all()
    assert pages[0][:STRIP, :56].min() < 100 > pages[0][:STRIP, 60:].min()  # there are captions
    write_mp4(tmp_path / "both.mp4", side_by_side({"a": left, "b": right}), 25)
    assert len(read_clip(tmp_path / "both.mp4", ALL).pixels) == 3
    with pytest.raises(ValueError):
        list(side_by_side({"a": left, "b": right[:2]}))
