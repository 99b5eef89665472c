"""The answer of one fit, and the files that hold it."""

import base64
import contextlib
import html
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from dip_lab.checks import one_line
from dip_lab.frames import has_colours, poster, visible
from dip_lab.png import encode_png, to_uint8
from dip_lab.results.calibration import GAUSSIAN
from dip_lab.results.clip import as_csv, side_by_side, write_frames, write_mp4
from dip_lab.results.figures import curves_figure, panel_figure
from dip_lab.results.history import History
from dip_lab.results.png import figure_png
from dip_lab.results.summary import Summary, white_of
from dip_lab.results.verdicts import STOPPING_CSV, Verdict
from dip_lab.results.verdicts import as_csv as verdicts_csv
from dip_lab.runs.files import write_atomic, write_json, write_text
from dip_lab.runs.folder import PREVIEW, RESULT
from dip_lab.scores import SCORES


def plain(image: Tensor) -> Iterator[tuple[str, bytes]]:
    """The answer's only file: an 8-bit PNG of (1, C, H, W)."""
    yield ".png", encode_png(image)


@dataclass(frozen=True)
class Restoration:
    """The restored picture with what is known about it; draws itself in a notebook.

    Attributes:
        image: `(N, C, H, W)` float32 in [0, 1], on the CPU; N is 1, or the number of a clip's frames.
        summary: what `result.json` holds: scores, chosen iteration, why it stopped, settings; typed, and a mapping.
        history: the curves, one row every `log_every` iterations.
        pictures: the target (if there is one), the observation at the image's size, the latent's first channel, the
            standard deviation of each value (of a sampler, or of several seeds).
        verdicts: what the obeyed stopping rule and those in its shadow chose.
        frames: for a clip, the scores of each frame.
        fps: frames per second of a clip's films.
        info: what the picture's file said beside its pixels (profile, EXIF), under Pillow's keys.
    """

    image: Tensor
    summary: Summary
    history: History
    pictures: dict[str, Tensor]
    verdicts: list[Verdict]
    frames: list[dict[str, float]] = field(default_factory=list)
    fps: float = 1
    info: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """Stem of the picture's file name, such as `dip_denoised`."""
        return self.summary.answer

    @property
    def is_done(self) -> bool:
        """False if the fit was interrupted."""
        return self.summary.status == "done"

    def numpy(self) -> np.ndarray:
        """`(H, W)` or `(H, W, C)` float32 in [0, 1]; `(T, H, W)` or `(T, H, W, C)` for a clip."""
        array = self.image.permute(0, 2, 3, 1).squeeze(-1).numpy()
        return array if self.frames else array[0]

    def pil(self) -> Image.Image:
        """An 8-bit PIL image with the profile and EXIF data of the picture; for a clip its middle frame.

        Pillow writes the profile with it; the EXIF data only where asked: `save(path, exif=image.info["exif"])`.
        """
        image = Image.fromarray(to_uint8(_drawn(self.image)))
        image.info.update(self.info)
        return image

    def panel(self) -> bytes:
        """PNG of target, observation, latent and restoration side by side.

        Where the method states its uncertainty, a map of it follows, and one of the errors where there is a target.
        """
        return figure_png(panel_figure(self._captioned(), list(self._maps().values()), self._white))

    def curves(self) -> bytes:
        """PNG of loss and PSNR against the iteration."""
        summary = self.summary
        title = f"{summary['task']} · {summary['net']} · stopped: {summary.stop_reason}"
        return figure_png(curves_figure(self.history, title, summary.chosen_iteration, summary.peak_iteration,
                                       {verdict.rule: verdict.chosen_iteration for verdict in self.verdicts[1:]}))

    def save(self, folder: Path, files: Callable[[Tensor], Iterable[tuple[str, bytes]]] = plain) -> None:
        """Write the answer first, then plots, and the summary last: a folder with a summary is complete.

        An image that is neither grey nor RGB is an array, `<answer>.npy`; the picture shows the mean of its channels.

        Args:
            folder: where to.
            files: makes the answer's own files, (suffix, content) one after the other, from a picture (1, C, H, W) in
                [0, 1].
        """
        array = folder / f"{self.answer}.npy"
        if not has_colours(self.image.shape[1]):
            write_array(array, self.image)
        for suffix, content in files(_drawn(self.image)):
            write_atomic(folder / f"{self.answer}{suffix}", content)
        if (folder / PREVIEW).exists():  # somebody may be watching it
            write_atomic(folder / PREVIEW, encode_png(_drawn(self.image)))
        if self.frames:
            self._save_film(folder)
        if self.history.rows:  # a baseline has none
            write_atomic(folder / f"{self.answer}_curves.png", self.curves())
        write_atomic(folder / f"{self.answer}_panel.png", self.panel())
        for name, picture in self._plain_pictures().items():
            write_atomic(folder / f"{name}.png", encode_png(_drawn(picture)))
        for name, (_, values) in self._maps().items():
            write_atomic(folder / f"{name}.png", encode_png(255 / self._white * values))
        if self.verdicts:
            write_text(folder / STOPPING_CSV, verdicts_csv(self.verdicts))
        if has_colours(self.image.shape[1]):
            array.unlink(missing_ok=True)  # of an earlier try that could not be saved
        write_json(folder / RESULT, dict(self.summary))

    def _save_film(self, folder: Path) -> None:
        """Every frame, the film, the film next to the observation and the target, and a row of scores per frame."""
        write_frames(folder / self.answer, self.image)
        write_mp4(folder / f"{self.answer}.mp4", self.image, self.fps)
        clips = {"observation": self.pictures["observed"], "restoration": self.image}
        if "target" in self.pictures:
            clips["target"] = self.pictures["target"]
        write_mp4(folder / f"{self.answer}_side_by_side.mp4", side_by_side(clips), self.fps)
        write_text(folder / "frames.csv", as_csv(self.frames))

    def __repr__(self) -> str:
        return f"Restoration({self.answer}, {self._scores('psnr', 'ssim') or 'no target'}, " \
               f"iteration {self.summary.chosen_iteration}: {self.summary.stop_reason})"

    def _repr_html_(self) -> str:
        drawn = "".join(
            f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" style="max-width:100%">'
            for png in (self.panel(), *([self.curves()] if self.history.rows else []))
        )
        return f"<div><p>{html.escape(repr(self))}</p>{drawn}</div>"

    def _captioned(self) -> list[tuple[str, Tensor]]:
        captions = {"target": "target", "observed": f"observation\n{self._scores('psnr_observed')}", "latent": "latent"}
        pictures = [(captions[name], _drawn(picture)) for name, picture in self._plain_pictures().items()]
        return [*pictures, (f"restoration\n{self._scores('psnr', 'ssim')}", _drawn(self.image))]

    def _plain_pictures(self) -> dict[str, Tensor]:
        return {name: picture for name, picture in self.pictures.items() if name != "uncertainty"}

    def _maps(self) -> dict[str, tuple[str, Tensor]]:
        """{name: (caption, values)} of the standard deviations and, where the target has their shape, of the errors.

        The values, (1, 1, H, W), are means over the channels, of the picture or of a clip's middle frame.
        """
        deviation, target, summary = self.pictures.get("uncertainty"), self.pictures.get("target"), self.summary
        if deviation is None:
            return {}
        spread = poster(deviation).mean(1, keepdim=True)
        maps = {"uncertainty": (f"standard deviation\nmean {255 * summary.uncertainty_mean:.1f} of 255", spread)}
        if target is not None and target.shape == deviation.shape:
            error = (poster(self.image) - poster(target)).abs().mean(1, keepdim=True)
            within = ", ".join(f"{summary.scores[f'within_{k}_std']:.1f}" for k in GAUSSIAN)
            expected = ", ".join(f"{share:.1f}" for share in GAUSSIAN.values())
            maps["error"] = f"error: {within} % within 1, 2, 3 std\n(of Gaussian ones {expected} %)", error
        return maps

    @property
    def _white(self) -> int:
        return white_of(self.summary.uncertainty_mean or 0)

    def _scores(self, *keys: str) -> str:
        """The scores with their units; plain numbers also with their names."""
        known = [(SCORES[key], value) for key in keys if (value := self.summary[key]) is not None and isfinite(value)]
        return ", ".join(("" if score.unit else f"{score.name} ") + score.measured(value) for score, value in known)


@contextlib.contextmanager
def kept(restoration: Restoration, folder: Path | None) -> Iterator[None]:
    """Whatever fails inside, the restored image is in the folder: as `<answer>.npy`, if there is a folder.

    Raises:
        OSError: that something failed, and where the image is.
    """
    try:
        yield
    except Exception as error:
        if folder is None:
            raise
        path = folder / f"{restoration.answer}.npy"
        try:
            write_array(path, restoration.image)
        except (OSError, MemoryError):  # a full disk: what could be written before is there
            path = folder
        raise OSError(f"{one_line(error)}: it happened while the results were saved; the restored image is in "
                      f"{path}") from error


def write_array(path: Path, image: Tensor) -> None:
    """Images (N, C, H, W) as a NumPy file of float32 that `data=array` reads: (C, H, W) if N is 1."""
    buffer = io.BytesIO()
    np.save(buffer, image.numpy()[0] if len(image) == 1 else image.numpy())
    write_atomic(path, buffer.getvalue())


def _drawn(pixels: Tensor) -> Tensor:
    """The picture (1, 1 or 3, H, W) that stands for images of any number and any channels."""
    return visible(poster(pixels))
