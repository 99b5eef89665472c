"""1200 damaged pictures, each read in a process of its own limits, and clips and arrays that claim more than they hold.

Sound: it is read, or refused by a ValueError of one line, within 1 GB and 20 s, without a word of another library.
"""

import io
import multiprocessing
import os
import random
import resource
import struct
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from files import GREY, WIDE, chunk, deep, exif, plain_png
from PIL import Image

from dip_lab.data.file import File
from dip_lab.data.listing import FORMATS
from dip_lab.tasks import masks

pytestmark = pytest.mark.campaign
COUNT = 1200
MOST = 2**30  # bytes that the process may grow by
SECONDS = 20
SIDES = (0, 1, 7, 8, 300, 4000, 7900, 9000, 16383, 30000, 65535)  # in a head; 7900 x 7900 px are just allowed


def seeds() -> list[tuple[str, bytes]]:
    """(format, file) of small pictures of every kind."""
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
    grey, other = colour.convert("L"), Image.new("RGB", colour.size, "red")
    palette, clear = colour.quantize(16), colour.copy()
    clear.putalpha(grey)
    deep_grey = Image.fromarray(deep(1, 24, 32)[..., 0])
    two = {"save_all": True, "append_images": [other]}
    kinds = [
        ("PNG", colour, {"icc_profile": WIDE, "exif": exif(6)}), ("PNG", clear, {}), ("PNG", palette, {}),
        ("PNG", deep_grey, {}), ("PNG", colour, two), ("JPEG", colour, {"exif": exif(6), "icc_profile": WIDE}),
        ("JPEG", grey, {"icc_profile": GREY, "progressive": True}), ("JPEG", colour.convert("CMYK"), {}),
        ("WEBP", clear, {"lossless": True}), ("WEBP", colour, {**two, "exif": exif(3)}), ("BMP", colour, {}),
        ("BMP", palette, {}), ("DIB", colour, {}), ("GIF", palette, {}), ("GIF", palette, two), ("PPM", colour, {}),
        ("PPM", grey, {}), ("PPM", deep_grey, {}), ("AVIF", colour, {}), ("TIFF", deep_grey, {}), ("TIFF", colour, two),
        ("TIFF", colour.convert("1"), {"compression": "group4"}),
        ("TIFF", clear, {"compression": "tiff_adobe_deflate"}),
        ("TIFF", colour, {"compression": "jpeg"}), ("TIFF", colour, {"exif": exif(6)}),
        ("TIFF", colour, {"compression": "tiff_lzw"}),
    ]
    found = []
    for kind, image, more in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **more)
        found.append((kind, buffer.getvalue()))
    found.append(("PNG", plain_png(deep(3, 24, 32), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))))))
    found.append(("PNG", plain_png(deep(4, 24, 32), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**8))))))
    assert {kind for kind, _ in found} == set(FORMATS)
    return found


def resized(kind: str, data: bytearray, rng: random.Random) -> None:
    """Other sides in the head of a file."""
    wide, high = rng.choice(SIDES), rng.choice(SIDES)
    if kind == "PNG":
        data[16:24] = struct.pack(">II", wide, high)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", wide, high)
    elif kind in ("BMP", "DIB"):
        at = 18 if kind == "BMP" else 4
        data[at:at + 8] = struct.pack("<ii", wide, high)
    elif kind == "JPEG":
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        data[at + 5:at + 9] = struct.pack(">HH", high, wide)
    elif kind == "PPM":
        data[:] = data.replace(b"32 24", b"%d %d" % (wide, high), 1)
    elif kind == "TIFF":
        start = struct.unpack("<I", data[4:8])[0]
        for entry in range(struct.unpack("<H", data[start:start + 2])[0]):
            at = start + 2 + 12 * entry
            tag = struct.unpack("<H", data[at:at + 2])[0]
            if tag in (256, 257, 278):
                data[at:at + 12] = struct.pack("<HHII", tag, 4, 1, wide if tag == 256 else high)
    elif kind == "WEBP" and (at := data.find(b"VP8X")) > 0:
        data[at + 12:at + 18] = struct.pack("<I", max(wide - 1, 0))[:3] + struct.pack("<I", max(high - 1, 0))[:3]
    elif kind == "WEBP" and (at := data.find(b"VP8L")) > 0:
        bits = struct.unpack("<I", data[at + 9:at + 13])[0] & 0xF0000000
        data[at + 9:at + 13] = struct.pack("<I", bits | (wide - 1 & 0x3FFF) | (high - 1 & 0x3FFF) << 14)
    elif kind == "AVIF" and (at := data.find(b"ispe")) > 0:
        data[at + 8:at + 16] = struct.pack(">II", wide, high)


def mutated(number: int, all_seeds: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """(what was done, the file)."""
    rng = random.Random(number)
    kind, content = rng.choice(all_seeds)
    data, how = bytearray(content), number % 5
    if how == 0:
        resized(kind, data, rng)
    elif how == 1:
        data = data[:rng.randrange(len(data))]
    elif how == 2:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(min(len(data), 400))] ^= 1 << rng.randrange(8)
    elif how == 3:
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    else:
        start, end, at = (rng.randrange(len(data)) for _ in range(3))
        data[at:at + abs(end - start) // 4] = data[min(start, end):max(start, end)]
    name = ("sides in the head", "cut off", "flipped bits", "other bytes", "a block elsewhere")[how]
    return f"{kind} {number}, {name}", bytes(data)


def claims() -> list[tuple[str, bytes]]:
    """Small files of many pixels, all of which are there."""
    found, large = [], Image.new("RGB", (7990, 7990), "red")
    kinds = [("PNG", large, {}), ("PNG", large, {"exif": exif(6)}), ("GIF", large.quantize(4), {}), ("JPEG", large, {}),
             ("JPEG", large, {"progressive": True, "subsampling": 0}), ("WEBP", large, {"method": 0, "quality": 1}),
             ("TIFF", large, {"compression": "tiff_lzw", "tiffinfo": {278: 7990}}), ("AVIF", large, {"speed": 10}),
             ("PNG", large.convert("RGBA"), {}), ("TIFF", large.convert("1"), {"compression": "group4"})]
    for kind, image, more in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **more)
        found.append((f"a {kind} of 64 megapixels ({image.mode})", buffer.getvalue()))
    return found


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read(path: str, size: int | None, as_mask: bool) -> None:
    if as_mask:
        picture = File(path, size).load()
        masks.File(path, "white")(picture, 0)
    else:
        File(path, size).load()


def worker(wire, folder: str) -> None:
    """Reads what it is told to, and answers with the fault, if there is one; a bomb ends this process alone."""
    import logging

    logging.disable(logging.CRITICAL)  # our own lines
    os.chdir(folder)
    tempfile.tempdir = folder
    said = os.open("said", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "PNG")
    Path("case").write_bytes(small.getvalue())
    read("case", None, True)  # what has to be imported
    base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (base + 3 * MOST, base + 3 * MOST))
    while True:
        size, as_mask = wire.recv()
        before, began, fault = peak(), time.monotonic(), None
        try:
            read("case", size, as_mask)
        except ValueError as error:
            if type(error).__name__ not in ("ValueError", "PictureError") or "\n" in str(error) or not str(error):
                fault = f"refused as {error!r}"
        except BaseException as error:
            fault = f"{type(error).__name__}: {error}"
        seconds, grown = time.monotonic() - began, peak() - before
        if grown > MOST:
            fault = f"{grown / 2**20:.0f} MiB"
        if seconds > SECONDS:
            fault = f"{seconds:.0f} s"
        if os.fstat(said).st_size:
            fault = f"said {os.pread(said, 200, 0)!r}"
            os.ftruncate(said, 0)
        left = set(os.listdir()) - {"said", "case"}
        if left:
            fault = f"left {sorted(left)}"
        wire.send(fault)


class Reader:
    """A process that reads pictures; a new one takes the place of one that died."""

    def __init__(self, folder: Path):
        self.folder, self.process = folder, None

    def fault(self, content: bytes, size: int | None, as_mask: bool) -> str | None:
        if self.process is None or not self.process.is_alive():
            self.wire, end = multiprocessing.get_context("forkserver").Pipe()
            self.process = multiprocessing.get_context("forkserver").Process(
                target=worker, args=(end, str(self.folder)), daemon=True)
            self.process.start()
            end.close()
            time.sleep(0.1)
            while not (self.folder / "case").exists():
                time.sleep(0.1)
            time.sleep(1)
        (self.folder / "case").write_bytes(content)
        self.wire.send((size, as_mask))
        try:
            return self.wire.recv() if self.wire.poll(3 * SECONDS) else self.end("no answer")
        except EOFError:
            return self.end("the process died")

    def end(self, fault: str) -> str:
        """Kill the process."""
        self.process.kill()
        self.process.join()
        (self.folder / "case").unlink()
        self.process = None
        return fault


@pytest.mark.parametrize("part", [0, 1])
def test_damaged_pictures(tally, tmp_path, part):
    count = tally(f"a damaged picture is read or refused, part {part + 1}")
    all_seeds, reader = seeds(), Reader(tmp_path)
    for number in range(part * COUNT // 2, (part + 1) * COUNT // 2):
        name, content = mutated(number, all_seeds)
        count.add(name, reader.fault(content, 16 if number % 2 else None, number % 4 == 0))
    count.conclude()


def test_large_claims(tally, tmp_path):
    """A new process for each: what one left in the allocator must not hide the next one's growth."""
    count = tally("a small file of 64 megapixels takes less than 1 GB")
    for name, content in claims():
        for size in (None, 512):  # and with 512, again as a mask
            reader = Reader(tmp_path)
            count.add((name, size), reader.fault(content, size, size is not None))
            if reader.process:
                reader.end("")
    count.conclude()
