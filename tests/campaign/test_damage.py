"""A flipped bit anywhere in what a run has written for itself is noticed, and what comes out is as if it had not been.

The bits are drawn from a fixed seed over the whole file, its digest included.
"""

import logging
import random
import shutil

import pytest
from outcomes import difference, lines_about
from test_resume import BEYOND, KillAt, Killed

pytestmark = [pytest.mark.campaign, pytest.mark.usefixtures("without_plots")]
TINY = ("iterations=30", "stopping=fixed", "log_every_image=500")


def flipped(content: bytes, dice: random.Random) -> tuple[int, bytes]:
    """(the bit's number, the content in which it is flipped)."""
    bit = dice.randrange(8 * len(content))
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bit, bytes(damaged)


def test_a_flipped_bit_in_the_newest_checkpoint(tally, fit_tiny, tmp_path, caplog):
    fit_tiny(*TINY, folder=tmp_path / "alone")
    killed = tmp_path / "killed"
    with pytest.raises(Killed):
        fit_tiny(*TINY, folder=killed, callbacks=[KillAt(24)])
    newest = max((killed / "checkpoints").glob("[0-9]*.pt"))
    content, dice, t = newest.read_bytes(), random.Random(20), tally("a flipped bit in the newest checkpoint")
    for _ in range(300):
        folder = tmp_path / "continued"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(killed, folder)
        bit, damaged = flipped(content, dice)
        (folder / "checkpoints" / newest.name).write_bytes(damaged)
        caplog.clear()
        fit_tiny(*TINY, folder=folder)
        said = lines_about(caplog, newest.name)
        is_said = len(said) == 1 and said[0].endswith("the one before it is used")
        t.add(f"bit {bit}", difference(folder, tmp_path / "alone") if is_said else f"said {said}")
    t.conclude()


def test_a_flipped_bit_in_the_weights(tally, fit_tiny, tmp_path):
    fit_tiny(*TINY, folder=tmp_path / "first")
    path = tmp_path / "first" / "checkpoints" / "weights.pt"
    content, dice, t = path.read_bytes(), random.Random(21), tally("a flipped bit in weights.pt")
    for _ in range(100):
        bit, damaged = flipped(content, dice)
        path.write_bytes(damaged)
        try:
            fit_tiny("iterations=1", "stopping=fixed", f"generator.init_from={tmp_path / 'first'}")
        except ValueError as error:
            t.add(f"bit {bit}", None if str(path) in str(error) and "\n" not in str(error) else str(error))
        else:
            t.add(f"bit {bit}", "fitted on")
    t.conclude()


def test_a_flipped_bit_in_a_part_s_array(tally, fit_tiny, tmp_path, caplog):
    picture, overrides = BEYOND["tiles"]
    overrides = ("iterations=4", "stopping=fixed", "average=none", "log_every_image=500", *overrides)
    fit_tiny(*overrides, folder=tmp_path / "alone", picture=picture)
    dice, t = random.Random(22), tally("a flipped bit in a part's array")
    contents = {path.relative_to(tmp_path / "alone"): path.read_bytes()
                for path in sorted((tmp_path / "alone").glob("parts/*/image.npy"))}
    for number in range(100):
        place = list(contents)[number % len(contents)]
        folder = tmp_path / "again"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "alone", folder)
        (folder / "result.json").unlink()
        bit, damaged = flipped(contents[place], dice)
        (folder / place).write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            fit_tiny(*overrides, folder=folder, picture=picture)
        said = lines_about(caplog, "image.npy")
        is_said = len(said) == 1 and str(folder / place) in said[0] and said[0].endswith("this part is fitted again")
        fault = difference(folder, tmp_path / "alone") if is_said else f"said {said}"
        renewed = (folder / place).read_bytes() == contents[place]
        t.add(f"{place}, bit {bit}", fault or (None if renewed else "its array was not renewed"))
    t.conclude()
