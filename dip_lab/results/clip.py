"""A restored clip: how steady it is, and its files. One or two frames at a time are in memory."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dip_lab.flow import backward_flows, warp
from dip_lab.frames import visible
from dip_lab.png import encode_png, to_uint8
from dip_lab.runs.files import appearing, write_atomic
from dip_lab.video.library import pyav

CRF = "12"  # of H.264: visually lossless; 23 is usual
STRIP = 18  # px above the pictures for their captions

Frame = Tensor | np.ndarray  # (C, H, W) in [0, 1], or uint8 (H, W) or (H, W, 3)


def temporal_errors(clip: Tensor, target: Tensor) -> list[float]:
    """Mean |(x_{t+1} - x_t) - (target_{t+1} - target_t)| of each pair of frames, without flow."""
    def at(frames: Tensor, t: int) -> Tensor:
        return frames[t].float().cpu().clamp(0, 1)

    return [float((at(clip, t + 1) - at(clip, t) - at(target, t + 1) + at(target, t)).abs().mean())
            for t in range(len(clip) - 1)]


def temporal_error(clip: Tensor, target: Tensor) -> float:
    """The mean over all pairs of a clip (T, C, H, W) in [0, 1], T at least 2: flicker that the target does not have.

    >>> import torch
    >>> round(temporal_error(torch.tensor([0.5, 0.6]).reshape(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)), 6)
    0.1
    """
    return fmean(temporal_errors(clip, target))


def warping_error(clip: Tensor, reference: Tensor, known: Tensor | None = None) -> list[float]:
    """Mean |x_{t+1} - warp(x_t)| of each pair, over the pixels that both show; NaN where there is none.

    Args:
        clip: (T, C, H, W) in [0, 1].
        reference: (T, c, H, W), whose optical flow is followed: the target, else the observation at the same size.
        known: where the reference was measured, as in `dip_lab.flow.backward_flows`.
    """
    errors = []
    for t, (back, seen) in enumerate(backward_flows(reference, known)):
        before, now = (clip[n:n + 1].float().cpu().clamp(0, 1) for n in (t, t + 1))
        change = (now - warp(before, back)).abs().mean(1, keepdim=True)
        errors.append(float((change * seen).sum() / seen.sum()))
    return errors


def frame_rows(scores: Sequence[Mapping[str, float]], temporal: Sequence[float],
               warping: Sequence[float]) -> list[dict[str, float]]:
    """One row for each frame: `frame`, counted from 1, its scores, and the errors of the step from the frame before.

    Args:
        scores: a mapping such as psnr and ssim for each frame; empty without a target.
        temporal: `temporal_errors`; empty without a target.
        warping: `warping_error`, one value fewer than there are frames.
    """
    rows = []
    for t in range(len(warping) + 1):
        row = {"frame": t + 1, **(scores[t] if scores else {})}
        if t and temporal:
            row["temporal_error"] = temporal[t - 1]
        if t:
            row["warping_error"] = warping[t - 1]
        rows.append(row)
    return rows


def as_csv(rows: Sequence[Mapping[str, float]]) -> str:
    """One line for each frame; a value that is missing or not finite is an empty field."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([value if math.isfinite(value := row.get(key, math.nan)) else "" for key in columns]
                     for row in rows)
    return text.getvalue()


def write_frames(folder: Path, clip: Iterable[Frame]) -> None:
    """00001.png, 00002.png, ... in `folder`."""
    for number, frame in enumerate(clip, 1):
        png = encode_png(visible(frame[None])) if isinstance(frame, Tensor) else _png(frame)
        write_atomic(folder / f"{number:05d}.png", png)


def write_mp4(path: Path, clip: Iterable[Frame], fps: float) -> None:
    """H.264 in 4:2:0, which every player and browser shows; an odd side gets a copy of its last row or column.

    Raises:
        ValueError: there is no frame.
    """
    av = pyav()
    rate = Fraction(fps).limit_denominator(1001)
    with appearing(path) as film, av.open(film.name, "w", format="mp4", options={"movflags": "faststart"}) as file:
        stream = None
        for array in _colours(clip):
            array = np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = file.add_stream("libx264", rate=rate, options={"crf": CRF})
                stream.height, stream.width, stream.pix_fmt = *array.shape[:2], "yuv420p"
                colours = stream.codec_context  # BT.709, stated in the file: otherwise players guess differently
                colours.colorspace = colours.color_primaries = colours.color_trc = colours.color_range = 1
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            file.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")))
        _ended(path, file, stream)


def side_by_side(clips: Mapping[str, Iterable[Frame]]) -> Iterator[np.ndarray]:
    """Frames (H', W', 3) uint8 for the writers above: clips of one height and length in a row under their captions."""
    font = ImageFont.load_default(STRIP * 0.7)
    for frames in zip(*map(_colours, clips.values()), strict=True):
        height, gap = frames[0].shape[0], 4
        page = Image.new("RGB", (sum(f.shape[1] for f in frames) + gap * (len(frames) - 1), height + STRIP), "white")
        pen, left = ImageDraw.Draw(page), 0
        for caption, array in zip(clips, frames, strict=True):
            pen.text((left + array.shape[1] // 2, STRIP // 2), caption, fill="black", font=font, anchor="mm")
            page.paste(Image.fromarray(array), (left, STRIP))
            left += array.shape[1] + gap
        yield np.asarray(page)


def _colours(clip: Iterable[Frame]) -> Iterator[np.ndarray]:
    """Each frame as uint8 (H, W, 3)."""
    for frame in clip:
        array = to_uint8(visible(frame[None])) if isinstance(frame, Tensor) else frame
        yield np.ascontiguousarray(np.broadcast_to(array[..., None], (*array.shape, 3)) if array.ndim == 2 else array)


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def _ended(path: Path, file, stream) -> None:
    if stream is None:
        raise ValueError(f"{path}: there is no frame to write")
    file.mux(stream.encode(None))
