"""Trained weights and what is known about them: one file, which is read without running any code that it holds.

A run of scripts/train.py keeps Lightning's own checkpoints (`checkpoints/best.ckpt`, `last.ckpt`) with a card among
their keys. The weights that come with dip_lab have the same card. Files of others are taken where their keys say which
network they belong to.
"""

import contextlib
import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from dip_lab.catalogue import config_folder, options
from dip_lab.checks import file_name, one_line, one_of, plain_name
from dip_lab.data.registry import located
from dip_lab.instantiate import instantiate
from dip_lab.nets.torch2017 import set_align_corners
from dip_lab.nets.weights import fill, shape_of
from dip_lab.runs.folder import BEST
from dip_lab.runs.proved import Unproved, prove, write_proved
from dip_lab.training.density import Density
from dip_lab.training.restorer import Restorer

log = logging.getLogger(__name__)
KEY = "card"
DENSITY = "likelihood"
INSTEAD = {  # what has learnt something else than to restore, and how it is used
    DENSITY: "is a density of pictures (objective=likelihood) and restores none by itself: give baseline=pixelcnn_map",
    "generative": "is a generator of pictures (objective=generative) and restores none by itself: give net={net} "
                  "latent=learned latent@latent.start=coarse_normal generator.init_from=<run>",
    "meta": "is the start of fits (objective=meta) and restores none by itself: give net={net} "
            "generator.init_from=<run>",
}
PREFIX = "restorer.net."
LAST = Path("checkpoints", "last.ckpt")  # beside BEST
NOT_ITS_OWN = ("lr", "norm_weight", "align_corners")  # keys of a net's YAML that are not arguments of the network


@dataclass(frozen=True)
class Card:
    """What a restorer is and what it was trained for: plain values only.

    Attributes:
        net: its option of configs/net; the class is the one that our own YAML names, never a name in the file.
        options: values for that YAML's keys.
        channels: of the pictures, 1 or 3.
        maps: planes that it sees beside the picture: of the noise level, of what is known. A generator sees no picture:
            its latent has channels + maps planes.
        residual: its output is subtracted.
        noise_map: the first of the maps is the noise level.
        task: the option of configs/task.
        settings: of the operator, such as {"factor": 4}.
        noise: the class of the noise law.
        sigma: (lowest, highest) of the noise it was trained with, in 8-bit units; None: it has no sigma.
        data: what it was trained on.
        pictures: how many.
        iterations: steps of the training until these weights.
        seconds: until then.
        seed: of the training.
        score: of the held-out pictures: PSNR in dB, or what the objective watches.
        objective: the option of configs/objective; those in `INSTEAD` are no restorers.
        clipped: the noise that it was trained with was clipped to [0, 1].
    """

    net: str
    options: Mapping[str, Any]
    channels: int
    maps: int
    residual: bool
    noise_map: bool
    task: str
    settings: Mapping[str, Any]
    noise: str | None
    sigma: tuple[float, float] | None
    data: str
    pictures: int | None = None
    iterations: int | None = None
    seconds: float | None = None
    seed: int | None = None
    score: float | None = None
    objective: str = "restoration"
    clipped: bool = False

    @classmethod
    def of(cls, values: Any) -> "Card":
        """The card that a file holds.

        Raises:
            ValueError: it is none.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(values, Mapping) or not set(values) <= names:
            raise ValueError("its card is not one of dip_lab")
        try:
            card = cls(**values)
        except TypeError as error:
            raise ValueError(f"its card is not one of dip_lab: {one_line(error)}") from error
        one_of("channels", card.channels, (1, 3))
        if card.sigma is not None and len(card.sigma) != 2:
            raise ValueError(f"its card has sigma={card.sigma}: a range has two ends")
        return card


@dataclass(frozen=True)
class Trained:
    """A restorer, or a density, as it was loaded.

    Attributes:
        path: where from.
        sha256: of the file.
    """

    restorer: Restorer | Density
    card: Card
    path: Path
    sha256: str

    @property
    def about(self) -> dict[str, Any]:
        """For the summary of what it restores."""
        return about(self.path, self.card)

    @torch.no_grad()
    def restored(self, picture: Tensor, maps: Tensor, tile: int, overlap: int) -> Tensor:
        """What a restorer makes of one picture, unclamped, with as many channels as it has.

        A restorer for grey pictures restores each channel on its own; one for colour is given a grey picture as three
        equal channels, and the mean of its answer counts.

        Args:
            picture: (1, c, H, W), c being 1 or the restorer's channels, or any number for one of grey pictures.
            maps: (1, m, H, W), the planes that it sees beside the picture.
            tile, overlap: px, see `Restorer.tiled`.
        """
        planes, own = picture.shape[1], self.card.channels
        if planes > own:
            picture, maps = picture.transpose(0, 1), maps.expand(planes, -1, -1, -1)
        elif planes < own:
            picture = picture.expand(-1, own, -1, -1)
        image = self.restorer.to(picture.device).tiled(torch.cat([picture, maps], 1), tile, overlap)
        if planes > own:
            return image.transpose(0, 1)
        return image.mean(1, keepdim=True) if planes < own else image


def about(path: Path, card: Card) -> dict[str, Any]:
    """What a file is, for the summary of what it has a part in."""
    return {"checkpoint": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **asdict(card)}


class ProvedIO(TorchCheckpointIO):
    """Lightning's checkpoints, each written at once with its own digest, and read without running code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises OSError where there is no room."""
        write_proved(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu",
                        weights_only: bool | None = None) -> dict[str, Any]:
        """Raises ValueError for a file that is damaged or not ours."""
        return read(Path(path))


def read(path: Path) -> dict[str, Any]:
    """What a file of `torch.save` holds: tensors and plain values.

    Raises:
        ValueError: there is no such file; it is damaged, cut off, or would run code when it is read.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        with contextlib.suppress(Unproved):
            prove(path)
        with warnings.catch_warnings(action="ignore"):  # torch's own, about old files
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file: the reader may raise anything
        reason = one_line(error)
        if "weights_only" in reason.lower() or "Unsupported" in reason:
            reason = "it holds more than weights and plain values, and reading it might run code"
        elif not isinstance(error, ValueError):
            reason = f"it is damaged or cut off ({reason})"
        raise ValueError(f"{path}: cannot be read as a checkpoint: {reason[:150]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {type(content).__name__}, no weights")
    return content


def file_of(checkpoint: str, root: str | None = None) -> Path:
    """The file that a person means: the best weights of a run's folder, or the file itself.

    Raises:
        ValueError: a folder without them.
    """
    path = Path(os.path.expanduser(checkpoint))
    if path.is_dir():
        if not (path / BEST).is_file():
            raise ValueError(f"baseline.checkpoint={checkpoint}: has no {BEST}: give the folder of a run of "
                             "scripts/train.py that has come to its first validation")
        return path / BEST
    return located(checkpoint, root)


def by_channels(key: str, checkpoint: str | Mapping[str, str]) -> dict[str, str]:
    """The file for grey pictures and that for colour, {"grey": ..., "colour": ...}; one file is for both.

    Args:
        key: of the config, for an error.
        checkpoint: a file or a run's folder, or the mapping.

    Raises:
        ValueError: a mapping with other keys, or a value that is no file's name.
    """
    if not isinstance(checkpoint, Mapping):
        checkpoint = dict.fromkeys(("grey", "colour"), checkpoint)
    if set(checkpoint) != {"grey", "colour"}:
        raise ValueError(f"{key}={dict(checkpoint)}: give one file, or one as grey and one as colour")
    return {kind: file_name(key, file) for kind, file in checkpoint.items()}


def load(checkpoint: str, root: str | None = None, precision: str = "float32") -> Trained:
    """A trained restorer, in eval mode.

    Args:
        checkpoint: a run's folder, or a file: of dip_lab, or of KAIR's DnCNN.
        root: folder of the data sets, where `weights/` is looked for too.
        precision: of the network's inner arithmetic.

    Raises:
        ValueError: it cannot be read, or is no restorer that dip_lab knows.
    """
    return _loaded(checkpoint, root, lambda card: restorer_of(card, precision))


def load_density(checkpoint: str, root: str | None = None, precision: str = "float32") -> Trained:
    """A trained density of pictures, in eval mode: the arguments and errors of `load`."""
    return _loaded(checkpoint, root, lambda card: density_of(card, precision))


def _loaded(checkpoint: str, root: str | None, made: Callable[[Card], Restorer | Density]) -> Trained:
    path, card, weights = weights_of(checkpoint, root)
    try:
        restorer = made(card)
        fill(restorer.net, weights, "the weights of another network", "in the network of its card",
             "{} is not finite: give the file of a sound training")
    except ValueError as error:
        raise ValueError(f"{path}: {one_line(error)}") from error
    return Trained(restorer.eval(), card, path, hashlib.sha256(path.read_bytes()).hexdigest())


def weights_of(checkpoint: str, root: str | None = None) -> tuple[Path, Card, dict[str, Tensor]]:
    """The file, its card and the weights of its network, by their names there.

    Args: as those of `load`.

    Raises:
        ValueError: it cannot be read, or is none that dip_lab knows.
    """
    path = file_of(checkpoint, root)
    content = read(path)
    try:
        if KEY not in content:
            return path, *_kair(content)
        weights = {key.removeprefix(PREFIX): value for key, value in content.get("state_dict", {}).items()
                   if key.startswith(PREFIX)}
        return path, Card.of(content[KEY]), weights
    except ValueError as error:
        raise ValueError(f"{path}: {one_line(error)}") from error


def save(path: Path, card: Card, restorer: Restorer, dtype: torch.dtype = torch.float32) -> None:
    """Write a restorer without the state of its training."""
    weights = {PREFIX + key: value.to(dtype) if value.is_floating_point() else value
               for key, value in restorer.net.state_dict().items()}
    write_proved(path, lambda file: torch.save({KEY: asdict(card), "state_dict": weights}, file))


def restorer_of(card: Card, precision: str = "float32") -> Restorer:
    """The restorer of a card, with new weights.

    Raises:
        ValueError: there is no such network, it does not take these options, or the card is that of a density.
    """
    if card.objective in INSTEAD:
        raise ValueError(INSTEAD[card.objective].format(net=card.net))
    return restorer_with(net_of(card), card, precision)


def restorer_with(net: nn.Module, card: Card, precision: str = "float32") -> Restorer:
    """The restorer of a card whose network is there already."""
    return Restorer(net, card.channels, card.residual, precision, card.clipped)


def density_of(card: Card, precision: str = "float32") -> Density:
    """The density of a card, with new weights.

    Raises:
        ValueError: there is no such network, it does not take these options, or the card is that of a restorer.
    """
    if card.objective != DENSITY:
        raise ValueError(f"is a restorer (objective={card.objective}) and no density of pictures: give a run of "
                         "scripts/train.py objective=likelihood net=pixelcnn, or baseline=trained")
    return Density(net_of(card), card.channels, precision)


def net_of(card: Card) -> nn.Module:
    """The network of a card, with new weights.

    Raises:
        ValueError: there is no such network, or it does not take these options.
    """
    name = plain_name("net", card.net)
    if name not in options("net"):
        raise ValueError(f"its network {name!r} is none of dip_lab's: {', '.join(options('net'))}")
    own = _node(name)
    for key, value in card.options.items():
        if key not in own or key == "_target_" or not _is_plain(value):
            raise ValueError(f"its network {name} takes no {key}={value}")
    node = own | dict(card.options)
    arguments = {key: value for key, value in node.items() if key not in NOT_ITS_OWN}
    with torch.random.fork_rng(devices=[]):
        net = instantiate(OmegaConf.create({"net": arguments}).net, in_channels=card.channels + card.maps,
                          out_channels=card.channels)
    set_align_corners(net, card.options.get("align_corners", False))
    return net


def _node(net: str) -> dict[str, Any]:
    """The values of an option of configs/net, with those of the options that it is made from."""
    own = OmegaConf.to_container(OmegaConf.load(config_folder() / "net" / f"{net}.yaml"))
    others = [name for name in own.pop("defaults", []) if isinstance(name, str) and name != "_self_"]
    return {key: value for node in (*map(_node, others), own) for key, value in node.items()}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or (isinstance(value, str | int | float) and "${" not in str(value))


def _kair(content: Mapping[str, Any]) -> tuple[Card, dict[str, Tensor]]:
    """The card and the weights of a DnCNN of KAIR, https://github.com/cszn/KAIR, whose norms are merged.

    Its file does not say which noise it was trained with: its name does (`dncnn_25.pth`), so a baseline has to.

    Raises:
        ValueError: the file is something else.
    """
    count = len(content) // 2
    expected = [f"model.{2 * layer}.{kind}" for layer in range(count) for kind in ("weight", "bias")]
    if count < 3 or list(content) != expected or any(shape_of(value) == type(value).__name__
                                                     for value in content.values()):
        raise ValueError("neither a checkpoint of scripts/train.py nor a DnCNN of KAIR (model.0.weight, ...)")
    width, channels = content["model.0.weight"].shape[:2]
    net = {"width": width, "layers": count, "bias": True, "norm": "none", "activation": "relu", "padding": "zero"}
    names = [f"layers.{0 if not layer else layer + 1}.{kind}" if layer in (0, count - 1) else
             f"layers.{layer + 1}.0.{kind}" for layer in range(count) for kind in ("weight", "bias")]
    card = Card("dncnn", net, channels, 0, True, False, "denoise", {}, "Gaussian", None, "Train400 (KAIR)")
    return card, dict(zip(names, content.values(), strict=True))

