"""A denoiser that works in a thread beside the fit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import torch
from torch import Tensor

Denoiser = Callable[[np.ndarray], np.ndarray]  # (H, W, C) float32 in [0, 1] -> the same


class Background:
    """Denoises one image at a time in a thread that ends with the program, whatever it is doing.

    Args:
        denoiser: callable as in `dip_lab.regularizers.denoisers`.
        key: of the denoiser, for an error.
    """

    def __init__(self, denoiser: Denoiser, key: str) -> None:
        self.denoiser, self.key = denoiser, key
        self._one_at_a_time = threading.Lock()
        self._result: Future | None = None

    @property
    def busy(self) -> bool:
        """Whether an image was given whose result has not been taken."""
        return self._result is not None

    def start(self, image: Tensor) -> None:
        """Denoise a copy of an image (1, C, H, W) on the CPU."""
        self._result = future = Future()
        self._shape = image.shape
        array = image[0].permute(1, 2, 0).numpy().copy()

        def work() -> None:
            try:
                with self._one_at_a_time:  # after a roll-back the dropped denoising may still be running
                    future.set_result(self.denoiser(array))
            except BaseException as error:
                future.set_exception(error)

        # Not an executor: the interpreter would wait for its work at exit.
        threading.Thread(target=work, name="denoiser", daemon=True).start()

    def drop(self) -> None:
        """Forget the image that was given."""
        self._result = None

    def take(self) -> Tensor:
        """The result (1, C, H, W), once it is there.

        Raises:
            ValueError: it has another shape; and whatever the denoiser raised.
        """
        array, shape = np.asarray(self._result.result(), dtype=np.float32), self._shape
        self._result = None
        if array.shape != (*shape[2:], shape[1]):
            raise ValueError(f"{self.key} gave an array {array.shape}, not {(*shape[2:], shape[1])}")
        return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None]
