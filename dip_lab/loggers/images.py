"""Pictures for the trackers that can show them."""

from pytorch_lightning.loggers import Logger
from torch import Tensor

from dip_lab.images import to_uint8


def log_image(loggers: list[Logger], key: str, image: Tensor, iteration: int) -> None:
    """Send one picture to each logger with a `log_image` (as W&B's has); the others are left alone."""
    for logger in loggers:
        if hasattr(logger, "log_image"):
            logger.log_image(key=key, images=[to_uint8(image)], step=iteration)
