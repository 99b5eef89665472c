"""Every `log_every_image` iterations: the current output as a picture."""

from pathlib import Path

import pytorch_lightning as pl

from dip_lab.frames import poster, visible
from dip_lab.loggers.images import log_image
from dip_lab.png import encode_png
from dip_lab.runs.files import write_atomic


class Snapshots(pl.Callback):
    """Writes `snapshots/000500.png` and shows it to trackers that take images."""

    def __init__(self, folder: Path, every: int):
        self.folder = folder
        self.every = every

    def on_train_batch_end(self, trainer, module, outputs, iteration, batch_idx) -> None:
        if iteration % self.every == 0:
            picture = visible(module.problem.shown(poster(module.output)))
            write_atomic(self.folder / f"{iteration:06d}.png", encode_png(picture))
            log_image(trainer.loggers, "output", picture, iteration)
