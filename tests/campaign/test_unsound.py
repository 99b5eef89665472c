"""A fit that cannot be sound is refused before it begins, or has failed: never done with NaN or a black picture."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from dip_lab.api import restore
from dip_lab.data.images import Images
from dip_lab.nets.weights import WEIGHTS

pytestmark = [pytest.mark.campaign, pytest.mark.usefixtures("without_plots")]
TINY = ("data.size=16", "net=skip_narrow", "net.width=4", "net.depth=2", "stopping=fixed", "average=none",
        "logger=none", "device=cpu", "iterations=4", "hydra.run.dir=run")
BAD = {"NaN": math.nan, "infinity": math.inf}


def spoilt(shape, value):
    """An array in [0, 1] of which one value is bad."""
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    array.reshape(-1)[7] = value
    return array


def files(name, value):
    """Write what a command reads: a measurement, a picture, a kernel, weights of which one or all are bad."""
    np.save("array.npy", spoilt((3, 16, 16), value))
    np.save("spectrum.npy", spoilt((2, 16, 16), value))
    np.save("kernel.npy", spoilt((5, 5), value))
    Image.fromarray(spoilt((16, 16), value)).save("picture.tiff")
    Image.fromarray(np.random.default_rng(1).random((16, 16), dtype=np.float32)).save("sound.tiff")


COMMANDS = {
    "an array": ("data=array", "data.path=array.npy", "~data.size", "task.given=true"),
    "k-space": ("data=array", "data.path=spectrum.npy", "~data.size", "task=mri", "task.given=true"),
    "a picture": ("data=file", "data.path=picture.tiff"),
    "an observation": ("data=file", "data.path=sound.tiff", "task.observation=picture.tiff"),
    "a guide": ("latent=image", "latent.path=picture.tiff"),
    "a kernel": ("task=deblur", "task/psf=file", "task.psf.path=kernel.npy"),
    "a mask": ("task=inpaint", "task/mask=file", "task.mask.path=picture.tiff"),
    "a sampling": ("task=mri", "task/sampling=file", "task.sampling.path=picture.tiff"),
    "a latent": ("latent.scale=1e300",),
}
STEPS = ("optimizer.lr=1e30", "optimizer.lr=1e38", "net.lr=1e35", "optimizer=sgld optimizer.lr=1e30",
         "optimizer.lr=1e30 splits.seeds.count=2", "optimizer.lr=1e30 tile=12 splits.tiles.overlap=4",
         "optimizer.lr=1e30 average=ema", "optimizer.lr=1e30 average=window", "optimizer.lr=1e30 shadow=[emv,wmv]",
         "optimizer.lr=1e30 iterations=1", "optimizer.lr=1e30 callbacks.guard.every=1 callbacks.guard.max_events=2",
         "latent=learned optimizer.lr=1e30", "descent.weight_noise=1e30")


def fault_of(code, printed, folder) -> str | None:
    """What is wrong with the end of a command that cannot have a sound answer."""
    path = folder / "result.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    if "Traceback" in printed or code not in (1, 2):
        return f"exit code {code}: {printed.strip()[-150:]}"
    if record.get("status") == "done" or not (code == 2 or record.get("error")):
        return f"{record.get('status')}: {record.get('error')}"
    return None


def test_bad_values_in_what_is_read(tally, command, tmp_path):
    t = tally("NaN or infinity in what is read")
    for name, value in BAD.items():
        files(name, value)
        for case, overrides in COMMANDS.items():
            given = [each for each in TINY if not ("~data.size" in overrides and each.startswith("data.size"))]
            code, printed = command(*given, *(each for each in overrides if each != "~data.size"), "rerun=true")
            fault = fault_of(code, printed, tmp_path / "run")
            t.add(f"{name} in {case}", fault or (None if code == 2 else "fitted"))
    t.conclude()


def test_weights_that_are_not_finite(tally, command, tmp_path):
    assert command(*TINY[:-1], "hydra.run.dir=first")[0] == 0
    weights = dict(torch.load(tmp_path / "first" / WEIGHTS, weights_only=True))
    t = tally("weights that are not finite")
    floating = [key for key, value in weights.items() if value.is_floating_point()]
    for case, value in BAD.items():
        for number in (0, len(floating) // 2, len(floating) - 1):
            bad = weights[floating[number]].clone()
            bad[(0,) * bad.ndim] = value
            torch.save(weights | {floating[number]: bad}, tmp_path / "first" / WEIGHTS)
            code, printed = command(*TINY, "generator.init_from=first", "rerun=true")
            t.add(f"{case} in {floating[number]}", fault_of(code, printed, tmp_path / "run"))
    t.conclude()


def test_steps_that_break_the_fit(tally, command, tmp_path):
    t = tally("a fit that breaks before the guard has found it sound")
    for case in STEPS:
        code, printed = command(*TINY, *case.split(), "rerun=true")
        t.add(case, fault_of(code, printed, tmp_path / "run") or (None if code == 1 else f"exit code {code}"))
    t.conclude()


def test_bad_values_given_to_restore(tally):
    t = tally("NaN or infinity given to restore()")
    for case, value in BAD.items():
        array = spoilt((16, 16), value)
        images = Images("mine", torch.from_numpy(array)[None, None])
        sound = torch.rand(1, 1, 16, 16)
        pictures = {"an array": array, "a float64 array": array.astype(np.float64), "a tensor": torch.from_numpy(array)[
            None], "Images": images, "Images.observed": Images("mine", sound, observed=images.pixels),
            "Images.alpha": Images("mine", sound, alpha=images.pixels), "a PIL image": Image.fromarray(array)}
        for name, picture in pictures.items():
            try:
                restored = restore(picture, net="skip_narrow", overrides=["iterations=3", "net.width=4", "device=cpu"])
            except ValueError as error:
                t.add(f"{case} in {name}", None if "\n" not in str(error) else str(error))
            else:
                t.add(f"{case} in {name}", f"status {restored.summary.status}")
    t.conclude()
