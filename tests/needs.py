"""What an option of configs/ needs besides its defaults to run on a small picture: one table for all tests."""

import pydoc
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from dip_lab.data.images import Images

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
# Values that no class could guess: files, which `write_files` makes in {tmp}, and options that only work together.
NEEDS = {
    "data=array": ["data.path={tmp}/scan.npy", "task.given=true"],
    "data=file": ["data.path={tmp}/pictures/one.png", "data.size=16"],
    "data=folder": ["data.path={tmp}/pictures"],
    "data=pairs": ["data.path={tmp}/clip", "task=fusion"],
    "data=phantom": ["data.size=24"],
    "data=sample": ["data.size=24"],
    "data=sources": ["data.paths=[{tmp}/clip/one_1.png,{tmp}/clip/one_2.png]", "task=fusion"],
    "data=video": ["data.path={tmp}/clip"],
    "latent=baseline": ["task=inpaint"],
    "generator=learned": ["net.width=32"],  # that of the weights
    "latent=coarse": ["net=deep_decoder"],
    "latent=coarse_normal": ["net=dcgan"],
    "descent/stages=latent_first": ["latent=learned"],
    "latent=guided": ["latent.path={tmp}/observed.png"],
    "optimizer=lbfgs": ["latent.jitter=0"],
    "regularizer=towards": ["task=inpaint"],
    "regularizer/pnp/denoiser=deepinv": ["regularizer.pnp.denoiser.model={{_target_:deepinv.models.MedianFilter}}"],
    "regularizer/red/denoiser=deepinv": ["regularizer.red.denoiser.model={{_target_:deepinv.models.MedianFilter}}"],
    "stopping=flat_patches": ["data=phantom", "data.size=24"],  # four patches of 16 x 16 px
    "stopping=sure": ["latent=image"],
    "task=custom": ["task.operator.module={{_target_:torch.nn.AvgPool2d,kernel_size:2}}"],
    "task=deepinv": ["task.operator.physics={{_target_:deepinv.physics.Blur,padding:replicate,"
                     "filter:{{_target_:deepinv.physics.blur.gaussian_blur,sigma:1.0}}}}"],
    "task=guided": ["task.guide={tmp}/observed.png"],
    "task/mask=color": ["task.mask.path={tmp}/observed.png", "task.mask.color=black"],
    "task/mask=file": ["task.mask.path={tmp}/holes.png"],
    "task/mask=observed": ["task.observation={tmp}/observed.png"],
    "task/misfit=by_brightness": ["data=sample", "data.size=24"],  # as flat_patches
    "task/misfit=jpeg_interval": ["stopping=fixed"],
    "task/psf=file": ["task.psf.path={tmp}/pictures/one.png"],
    "task/sampling=file": ["task.sampling.path={tmp}/holes.png"],
    "task/sampling=observed": ["task.given=true", "data=array", "data.path={tmp}/kspace.npy"],
}
SETS = {path.stem: node for path in (CONFIGS / "data").glob("*.yaml") if "folders" in (node := OmegaConf.load(path))}
# A picture called "one" in the first folder of each set; the sets of pairs have two files of it.
FILES = [f"sets/{node.folders[0]}/one{ending}" for node in SETS.values()
         for ending in (("_real", "_mean") if node._target_.endswith("NoisyPairs") else ("",))]
NEEDS |= {f"data={name}": ["data.root={tmp}/sets", "data.name=one"] for name in SETS}


def options(group: str) -> list[str]:
    """The options of a group, such as "task" or "task/noise"."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def needed(overrides: list[str], folder: Path) -> list[str]:
    """More overrides for these, with the files that they name in a folder."""
    return [text.format(tmp=folder) for override in overrides for text in NEEDS.get(override, [])]


def write_files(folder: Path, height: int = 17, width: int = 20) -> None:
    """The files that `NEEDS` names: masks and guides of this size, pictures of 24 x 18 px."""
    for name in ("pictures/one", "clip/one", *FILES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name, mode, colour in (("holes", "L", "white"), ("observed", "RGB", "grey")):
        image = Image.new(mode, (width, height), colour)
        image.paste("black", (2, 3, 6, 9))
        image.save(folder / f"{name}.png")
    one = Image.radial_gradient("L").resize((24, 18))
    for name in ("pictures/one", "clip/one_1", "clip/one_2", *FILES):
        one.save(folder / f"{name}.png")
    scan = np.arange(height * width, dtype=np.float32).reshape(height, width) / (height * width)
    np.save(folder / "kspace.npy", np.fft.fft2(scan))
    np.save(folder / "scan.npy", scan)


def images_for(cfg: DictConfig, height: int, width: int, clip: bool = False) -> Images:
    """Random pictures: as many as the task, the regularisers or a clip want; the left quarter is transparent."""
    sources = pydoc.locate(cfg.task.operator._target_).broadcasts
    clip = clip or any(pydoc.locate(node._target_).of_clips for node in cfg.regularizer.values())
    count = 2 if sources else 4 if clip else 1
    pixels = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    alpha = torch.ones(1, 1, height, width)
    alpha[..., : width // 4] = 0
    return Images("sample", pixels, alpha if count == 1 else None, clean=True, selection=slice(0, None, 1))


def host_of(folder: str, option: str) -> str:
    """The task that an option of configs/task/<folder> is tried with.

    The one whose module holds its class, else the one that lists this kind of option earliest among its defaults.
    """
    target = OmegaConf.load(CONFIGS / "task" / folder / f"{option}.yaml").get("_target_") or "."
    module = target.split(".")[-2]
    if module in options("task"):
        return module
    places = []
    for task in options("task"):
        kinds = [next(iter(line)) for line in OmegaConf.load(CONFIGS / "task" / f"{task}.yaml").defaults
                 if OmegaConf.is_dict(line)]
        if folder in kinds:
            places.append((kinds.index(folder), task))
    return min(places)[1]
