"""Pictures for the trackers that can show them."""

import logging

from pytorch_lightning.loggers import Logger
from torch import Tensor

from dip_lab.png import to_uint8

log = logging.getLogger(__name__)


def log_image(loggers: list[Logger], key: str, image: Tensor, iteration: int) -> None:
    """Send one picture to each logger that has a `log_image`, such as W&B's; the others are skipped."""
    for logger in loggers:
        if hasattr(logger, "log_image"):
            try:
                logger.log_image(key=key, images=[to_uint8(image)], step=iteration)
            except Exception as error:  # a tracker that fails must not end the fit: the picture is in the folder
                log.warning("%s did not take the picture %s: %s", type(logger).__name__, key, error)
