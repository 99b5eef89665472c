"""Clips read from folders, animations and video files, which are made here."""

import sys

import av
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from dip_lab.build import load_images
from dip_lab.compose import compose
from dip_lab.data.clips import count_frames, frames_of, is_clip, read_clip
from dip_lab.data.video import Video
from dip_lab.instantiate import instantiate

ALL = slice(0, None, 1)


def frame(level, height=24, width=32, colour=True):
    """A smooth picture whose mean tells the frames apart."""
    ramp = level + np.add.outer(np.arange(height), np.arange(width))
    return np.stack((ramp, ramp, ramp), -1).astype(np.uint8) if colour else ramp.astype(np.uint8)


def levels(clip):
    """The level of each frame, at the pixel where the ramp is 0."""
    return (clip[:, 0, 0, 0] * 255).round().int().tolist()


def load(path, first=0, frames=None, stride=1, size=None):
    return Video(str(path), first, frames, stride, size).load()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "my.clip"
    path.mkdir()
    for number in (1, 2, 3, 9, 10, 11):
        Image.fromarray(frame(10 * number)).save(path / f"{number}.png")
    (path / "notes.txt").write_text("no frame")
    return path


def write_video(path, frames, codec="ffv1", pix_fmt="bgr0", given="rgb24"):
    """Write a video file, lossless by default."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pix_fmt
        for array in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(array, format=given)))
        file.mux(stream.encode(None))
    return path


@pytest.fixture
def film(tmp_path):
    return write_video(tmp_path / "film.mkv", [frame(10 * n) for n in range(8)])


# A folder


def test_frames_of_a_folder_come_in_natural_order(folder):
    picture = load(folder)
    assert picture.name == "my.clip" and picture.pixels.shape == (6, 3, 24, 32)
    assert picture.pixels.dtype == torch.float32 and picture.pixels.is_contiguous()
    assert levels(picture.pixels) == [10, 20, 30, 90, 100, 110]
    assert torch.equal(picture.pixels[4], torch.from_numpy(frame(100)).permute(2, 0, 1) / 255)


@pytest.mark.parametrize("first, frames, stride, expected", [(1, 2, 2, [20, 90]), (4, None, 1, [100, 110]),
                                                             (0, None, 4, [10, 100]), (5, 1, 3, [110])])
def test_first_frames_and_stride(folder, first, frames, stride, expected):
    picture = load(folder, first, frames, stride)
    assert levels(picture.pixels) == expected
    assert levels(read_clip(folder, picture.selection).pixels) == expected  # so would the mask of each frame be chosen


def test_size_shrinks_each_frame_like_a_picture(folder):
    assert load(folder, size=16).pixels.shape == (6, 3, 12, 16)


def test_grey_among_colour_becomes_colour(folder):
    for number in (1, 2):
        Image.fromarray(frame(10 * number, colour=False)).save(folder / f"{number}.png")
    clip = load(folder).pixels
    assert clip.shape[1] == 3 and levels(clip) == [10, 20, 30, 90, 100, 110]
    assert torch.equal(clip[0, 0], clip[0, 2])
    assert load(folder, 0, 2).pixels.shape[1] == 1


def test_frames_of_two_sizes_are_refused_with_both(folder):
    Image.fromarray(frame(0, 24, 40)).save(folder / "9.png")
    with pytest.raises(ValueError, match=r"9.png has 40 x 24 px, but 1.png 32 x 24 px: the frames of a clip need one"):
        load(folder)
    assert len(load(folder, 0, 3).pixels) == 3


# Animations and video files


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    images = [Image.fromarray(frame(20 * n, colour=False)).convert("RGB") for n in range(5)]
    more = {"lossless": True} if suffix == "webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, **more)
    picture = load(path, 1, None, 2)
    assert picture.name == "clip" and levels(picture.pixels) == [20, 60]
    assert count_frames(path, ALL) == 5
    assert torch.equal(picture.pixels[1], (torch.from_numpy(frame(60)).permute(2, 0, 1) / 255)[:len(picture.pixels[1])])


def test_what_a_gif_leaves_unchanged_is_there_in_each_frame(tmp_path):
    path = tmp_path / "clip.gif"
    images = [Image.new("RGB", (32, 24), (200, 10, 10)) for _ in range(3)]
    for n, image in enumerate(images):
        image.paste((0, 0, 255), (8 * n, 8, 8 * n + 8, 16))
    images[0].save(path, save_all=True, append_images=images[1:], disposal=1)
    clip = load(path).pixels
    expected = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 for image in images])
    assert torch.equal(clip, expected)


def test_a_video_file(film):
    picture = load(film)
    assert picture.name == "film" and levels(picture.pixels) == [10 * n for n in range(8)]
    assert torch.equal(picture.pixels[3], torch.from_numpy(frame(30)).permute(2, 0, 1) / 255)
    assert levels(load(film, 1, 3, 2).pixels) == [10, 30, 50]
    assert levels(load(film, 6).pixels) == [60, 70] and count_frames(film, slice(6, None, 1)) == 2


def test_a_grey_video_is_grey(tmp_path):
    path = write_video(tmp_path / "grey.mkv", [frame(n, colour=False) for n in (10, 20)], "ffv1", "gray", "gray")
    clip = load(path).pixels
    assert clip.shape == (2, 1, 24, 32) and levels(clip) == [10, 20]


@pytest.mark.parametrize("suffix, codec", [("mp4", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mjpeg")])
def test_common_formats(tmp_path, suffix, codec):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / f"clip.{suffix}", [frame(40 * n, 32, 32) for n in range(4)], codec, pix_fmt)
    clip = load(path, 1).pixels
    expected = torch.stack([torch.from_numpy(frame(40 * n, 32, 32)).permute(2, 0, 1) / 255 for n in (1, 2, 3)])
    assert clip.shape == (3, 3, 32, 32) and (clip - expected).abs().mean() < 0.02


@pytest.mark.parametrize("matrix, clockwise", [((0, 1, -1, 0), 1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 3)])
def test_a_telephone_held_upright(tmp_path, matrix, clockwise):
    path = write_video(tmp_path / "clip.mp4", [frame(40)] * 2, "libx264", "yuv420p")
    upright = load(path).pixels
    a, b, c, d = (value << 16 for value in matrix)
    content = path.read_bytes()
    at = content.index(b"tkhd") + 44  # where the matrix is in the track's header
    turned = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], dtype=">i4").tobytes()
    path.write_bytes(content[:at] + turned + content[at + 36:])
    assert torch.equal(load(path).pixels, upright.rot90(-clockwise, (2, 3)))


# Long clips


def test_frames_come_one_by_one(film, folder):
    for path in (film, folder):
        frames = frames_of(path, ALL)
        assert next(frames).pixels.shape == (1, 3, 24, 32)
        frames.close()


def test_a_selection_with_an_end_reads_no_further(folder):
    (folder / "9.png").write_bytes(b"damaged")
    assert len(load(folder, 0, 3).pixels) == 3


def test_a_long_clip_lies_in_a_file(folder, monkeypatch):
    monkeypatch.setattr("dip_lab.frames.IN_MEMORY", 1000)
    assert levels(load(folder).pixels) == [10, 20, 30, 90, 100, 110]


# What is not a clip


@pytest.mark.parametrize("name", ["still.png", "still.gif", "still.jpg"])
def test_a_still_picture_is_refused(tmp_path, name):
    Image.fromarray(frame(0)).save(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is one picture, not a clip: use data=file data.path=.*{name}"):
        load(tmp_path / name)
    with pytest.raises(ValueError, match=f"holds one picture, not a clip: use data=file data.path=.*{name}"):
        load(tmp_path)
    assert not is_clip(tmp_path / name) and is_clip(tmp_path) and not is_clip(tmp_path / "nowhere")


def test_too_few_frames_are_refused(film, folder):
    with pytest.raises(ValueError, match="data.frames=9: .*film.mkv has 3 from data.first=1 and data.stride=3 on: ask "
                                         "for 3, or null for all"):
        load(film, 1, 9, 3)
    for path in (film, folder):
        with pytest.raises(ValueError, match="data.first=40: .* ends before that frame"):
            load(path, 40)


@pytest.mark.parametrize("key, value", [("first", -1), ("frames", 0), ("stride", 0), ("frames", 1.5), ("first", True)])
def test_wrong_numbers(folder, key, value):
    with pytest.raises(ValueError, match=rf"data\.{key}={value}: give a whole number"):
        load(folder, **{key: value})


def test_what_cannot_be_read(tmp_path, film):
    (tmp_path / "text.mp4").write_text("no video " * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("text.mp4", "empty.mp4"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read as a clip \(.*save its frames as PNG") as refused:
            load(tmp_path / name)
        assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="no such file or folder: .*nowhere.mp4"):
        load(tmp_path / "nowhere.mp4")


def test_yaml(folder):
    cfg = compose(["data=video", f"data.path={folder}", "data.stride=2", "data.size=16"])
    assert OmegaConf.to_container(cfg.data, throw_on_missing=True)["frames"] is None
    assert instantiate(cfg.data).load().pixels.shape == (3, 3, 12, 16)


def test_without_pyav_a_clip_is_refused_and_a_picture_is_not(folder, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setitem(sys.modules, "imageio", None)
    code, said = command("data=video", f"data.path={folder}")
    assert code == 2 and said.count("\n") == 1 and "clips need one more package: pip install -e '.[video]'" in said
    assert load_images(compose(["data=file", f"data.path={folder / '1.png'}"]).data).pixels.shape == (1, 3, 24, 32)


@pytest.mark.parametrize("fps", ["[]", "0", "-1", "abc", ".nan"])
def test_fps_is_a_number(fps):
    with pytest.raises(ValueError, match=r"video\.fps=.*: give a number at least 0\.001 and at most 1000"):
        instantiate(compose([f"video.fps={fps}"]).video)


def test_a_film_of_too_large_frames_is_refused_on_its_head(tmp_path, monkeypatch):
    film = write_video(tmp_path / "film.mkv", [frame(10)] * 2)
    monkeypatch.setattr("dip_lab.data.images.MAX_PIXELS", 700)
    with pytest.raises(ValueError, match="32 x 24 px, more than"):
        load(film)
