"""The pictures of a group's cells for its report: small copies, equal pictures only once. No torch."""

import base64
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from dip_lab.results.summary import white_of
from dip_lab.tables.cells import Row

SIDE = 256  # px: longest side of a thumbnail
PICTURE_BYTES = 5_000_000  # of all thumbnails together; base64 makes them a third longer
MOST, LEAST = 32_768, 512  # bytes of one thumbnail, whatever their number
PICTURES = {"observed": "observation", "target": "target", "latent": "latent", "uncertainty": "standard deviation",
            "error": "error"}
MAPS = ("standard deviation", "error")  # drawn from black to what `white_of` says
RESTORED = ("restoration", "output so far")


@dataclass(frozen=True)
class Thumbnail:
    """A small copy of a picture as a data URI, and the size in px of the picture itself."""

    uri: str
    width: int
    height: int


@dataclass
class Album:
    """Thumbnails by content, so that a picture in many cells is kept once; they last from one refresh to the next."""

    digests: dict[tuple[Path, int, int], str] = field(default_factory=dict)
    thumbnails: dict[tuple[str, int], Thumbnail | None] = field(default_factory=dict)

    def digest(self, path: Path) -> str | None:
        """The digest of a file's content, read once while its time and size stay the same; None: no such file."""
        try:
            stat = path.stat()
            key = (path, stat.st_mtime_ns, stat.st_size)
            if key not in self.digests:
                self.digests[key] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        except OSError:  # removed by a cell that starts over
            return None
        return self.digests[key]

    def thumbnail(self, digest: str, path: Path, limit: int) -> Thumbnail | None:
        """A thumbnail of at most `limit` bytes; None if the file is not a picture."""
        if (digest, limit) not in self.thumbnails:
            try:
                self.thumbnails[digest, limit] = shrunk(path, limit)
            except (OSError, SyntaxError):  # Pillow's words for a broken PNG
                self.thumbnails[digest, limit] = None
        return self.thumbnails[digest, limit]


def shrunk(path: Path, limit: int) -> Thumbnail:
    with Image.open(path) as opened:
        image = opened.convert("RGB") if opened.mode not in ("L", "RGB", "RGBA") else opened.copy()
    data = _webp(image, SIDE, limit)
    return Thumbnail("data:image/webp;base64," + base64.b64encode(data).decode(), *image.size)


def _webp(image: Image.Image, side: int, limit: int) -> bytes:
    """The best quality that fits; where none does, half the size."""
    small = image.copy()
    small.thumbnail((side, side))
    for quality in (90, 75, 50, 25):
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality)
        if buffer.tell() <= limit or (quality == 25 and side <= 16):
            return buffer.getvalue()
    return _webp(image, side // 2, limit)


def picture_files(cell: Row) -> list[tuple[str, Path]]:
    """(caption, file) of a cell's pictures; the last is the restoration or, until there is one, the last output."""
    found = [(caption, path) for stem, caption in PICTURES.items() if (path := cell.folder / f"{stem}.png").exists()]
    answers = [cell.folder / f"{cell.result['answer']}.png"] if cell.result.get("answer") else []
    answers = [path for path in answers if path.exists()] or _unnamed_answers(cell.folder)
    if len(answers) == 1:
        return [*found, (RESTORED[0], answers[0])]
    frames = sorted((cell.folder / "snapshots").glob("*.png"), key=lambda path: (len(path.stem), path.stem))
    return [*found, *((RESTORED[1], path) for path in frames[-1:])]


def _unnamed_answers(folder: Path) -> list[Path]:
    """Old results do not say what their picture is called."""
    return [path for path in folder.glob("dip_*.png") if not path.stem.endswith(("_panel", "_curves"))]


def shown_pictures(cells: Sequence[Row], album: Album) -> tuple[list[list[dict[str, Any]]], dict[str, Thumbnail]]:
    """Each cell's pictures as the page names them, and the thumbnails, equal ones only once."""
    files = [[(caption, path, digest) for caption, path in picture_files(cell) if (digest := album.digest(path))]
             for cell in cells]
    paths = {digest: path for found in files for _, path, digest in found}
    limit = share(len(paths))
    thumbnails = {digest: thumbnail for digest, path in paths.items()
                  if (thumbnail := album.thumbnail(digest, path, limit))}
    shown = [[{"caption": caption, "scale": scale_of(cell, caption), "thumbnail": digest,
               "width": thumbnails[digest].width, "height": thumbnails[digest].height,
               "href": quote(str(path.relative_to(cell.folder.parent)))}
              for caption, path, digest in found if digest in thumbnails]
             for cell, found in zip(cells, files, strict=True)]
    return shown, thumbnails


def scale_of(cell: Row, caption: str) -> str:
    """What is white in a map of errors; empty for other pictures, and for those of an earlier version."""
    mean = cell.result.get("uncertainty_mean")
    return f"white: {white_of(mean)} of 255" if caption in MAPS and mean is not None else ""


def film_of(cell: Row) -> str | None:
    """For a clip, where the film of the restoration next to its observation is, as the page names it."""
    path = cell.folder / f"{cell.result.get('answer')}_side_by_side.mp4"
    return quote(str(path.relative_to(cell.folder.parent))) if path.exists() else None


def share(pictures: int) -> int:
    """Bytes for one thumbnail: a power of two, so that one more picture seldom changes all the others.

    >>> share(10), share(300), share(10**6)
    (32768, 16384, 512)
    """
    return max(LEAST, min(MOST, 2 ** int(math.log2(PICTURE_BYTES / max(pictures, 1)))))
