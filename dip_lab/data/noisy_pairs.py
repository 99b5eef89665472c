"""Pictures that were measured twice: with the camera's own noise, and almost without noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dip_lab.checks import integer
from dip_lab.data.listing import of_set
from dip_lab.data.registry import digest, located, pictures_of
from dip_lab.data.source import Source

if TYPE_CHECKING:
    from dip_lab.data.images import Images

OBSERVED, TARGET = "_real", "_mean"  # how the file names end; the mean of many shots of the scene has little noise


@dataclass
class NoisyPairs(Source):
    """The pair `name` of the data set in `folders`: `<name>_real` is the observation, `<name>_mean` the target.

    `crop` cuts the same `crop` x `crop` px out of the middle of both; None keeps them whole. They are not shrunk, which
    would average the noise away. The files are found or downloaded as those of a `Collection`.
    """

    folders: list[str]
    name: str | None
    crop: int | None
    root: str | None

    @property
    def label(self) -> str:
        return "picture" if self.name is None else str(self.name)

    def names(self) -> list[str]:
        return list(self._pairs())

    def identity(self) -> dict[str, Any]:
        files = self._pairs().get(str(self.name))
        if not files:  # refused, with the reason, where the pictures are read
            return {}
        path = {ending: digest(file, self.root) for ending, file in sorted(files.items())}
        return {"path": path, "name": None, "folders": None, "root": None}

    def load(self) -> Images:
        """Raises ValueError for an unknown name, or if the two pictures of a pair are not there or not alike."""
        from dip_lab.data.images import MIN_SIDE, read_picture
        from dip_lab.data.sizes import centre_crop

        crop = None if self.crop is None else integer("data.crop", self.crop, MIN_SIDE)
        pairs = self._pairs()
        name = of_set(list(pairs), self.name)
        files = pairs[name]
        for ending, other, alone in ((TARGET, OBSERVED, "restore it without a target:"),
                                     (OBSERVED, TARGET, "let noise be added to it: task.sigma=25")):
            if ending not in files:
                raise ValueError(f"{files[other]}: there is no {name}{ending} beside it: put it there, or {alone} "
                                 f"data=file data.path={files[other]}")
        observed, target = (read_picture(located(files[ending], self.root), name) for ending in (OBSERVED, TARGET))
        if observed.pixels.shape != target.pixels.shape:
            sizes = ["{2} x {1} px with {0} channels".format(*each.pixels.shape[1:]) for each in (observed, target)]
            raise ValueError(f"data.name={name}: {name}{OBSERVED} is {sizes[0]}, {name}{TARGET} is {sizes[1]}: "
                             "give two pictures of one size")
        return replace(centre_crop(target, crop), observed=centre_crop(observed, crop).pixels, root=self.root)

    def _pairs(self) -> dict[str, dict[str, str]]:
        """Name -> ending -> file; a picture whose other half is missing has a single entry."""
        found: dict[str, dict[str, str]] = {}
        for stem, file in pictures_of(self.folders, self.root).items():
            for ending in (OBSERVED, TARGET):
                if stem.endswith(ending):
                    found.setdefault(stem.removesuffix(ending), {})[ending] = file
        return found
